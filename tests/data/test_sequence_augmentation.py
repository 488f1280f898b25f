"""Crop, reorder and hide: what stays, what moves, and how much."""

import numpy as np
import pytest
from scipy import stats

from rec_jax.data import sequence_augmentation as augmentation

WIDTH = 12
LENGTHS = np.tile([1, 2, 7, 12], 2000)


def rng():
  return np.random.default_rng(0)


def uniform_floor(size, max_rate):
  """P(floor(u size) = k) for u uniform on [0, max_rate]."""
  edges = np.clip(np.arange(size + 2) / size / max_rate, 0, 1)
  return np.diff(edges)


def fits(counts, size, max_rate):
  """The p-value of counts [size + 1]; 0 where one is that cannot be."""
  expected = uniform_floor(size, max_rate) * counts.sum()
  used = expected > 0
  if counts[~used].any():
    return 0.0
  return stats.chisquare(counts[used], expected[used]).pvalue


def test_a_crop_is_a_stretch_anywhere_whose_share_is_uniform():
  start, kept = augmentation.crop(rng(), LENGTHS, 0.5)
  assert (kept >= 1).all() and (start >= 0).all() and (start + kept <= LENGTHS).all()
  long = LENGTHS == 12
  cut = np.bincount(12 - kept[long], minlength=13)
  assert fits(cut, 12, 0.5) > 1e-3
  assert fits(cut, 12, 0.75) < 1e-6
  # Of those that lose three events, the four places are as likely.
  places = np.bincount(start[long & (kept == 9)], minlength=4)
  assert len(places) == 4 and stats.chisquare(places).pvalue > 1e-3
  assert (augmentation.crop(rng(), LENGTHS, 1.0)[1] >= 1).all()


def test_reordering_shuffles_a_stretch_and_nothing_else():
  order = augmentation.reorder(rng(), LENGTHS, WIDTH, 0.5)
  np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(WIDTH), (len(order), 1)))
  moved = order != np.arange(WIDTH)
  assert not moved[np.arange(WIDTH) >= LENGTHS[:, None]].any()
  first, last = moved.argmax(1), WIDTH - 1 - moved[:, ::-1].argmax(1)
  reach = np.where(moved.any(1), last - first + 1, 0)
  assert (reach <= 0.5 * LENGTHS).all()
  assert reach[LENGTHS == 12].max() == 5  # A share below a half of 12.
  # Stretches of two are swapped half of the time.
  two = reach[LENGTHS == 7] == 2
  assert two.mean() > 0.05
  # Every place of a history is reached.
  assert moved[LENGTHS == 12].any(0).all()


def test_hidden_events_are_a_uniform_share_at_random_places():
  hidden = augmentation.hide(rng(), LENGTHS, WIDTH, 0.5)
  assert not hidden[np.arange(WIDTH) >= LENGTHS[:, None]].any()
  long = hidden[LENGTHS == 12]
  counts = np.bincount(long.sum(1), minlength=13)
  assert fits(counts, 12, 0.5) > 1e-3
  assert fits(counts, 12, 0.33) < 1e-6
  assert stats.chisquare(long.sum(0)).pvalue > 1e-3


@pytest.mark.parametrize('lengths', [[1], [5, 12]])
def test_a_rate_of_zero_changes_nothing(lengths):
  lengths = np.array(lengths)
  start, kept = augmentation.crop(rng(), lengths, 0.0)
  assert not start.any() and (kept == lengths).all()
  order = augmentation.reorder(rng(), lengths, WIDTH, 0.0)
  np.testing.assert_array_equal(order, np.tile(np.arange(WIDTH), (len(lengths), 1)))
  assert not augmentation.hide(rng(), lengths, WIDTH, 0.0).any()
