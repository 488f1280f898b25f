"""Which tokens are hidden, how, and how often."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rec_jax.losses.language_modelling import mask_tokens, token_cross_entropy

B, L, V = 10_000, 20, 50
PAD, CLS, MASK_ID = 0, 1, 2
RATE = 0.15


@pytest.fixture(scope='module')
def hidden():
  """Token ids, which may be hidden, and what became of them: texts of 1 to L - 1 words."""
  rng = np.random.default_rng(0)
  length = rng.integers(2, L, size=(B, 1), endpoint=True)
  position = np.arange(L)
  ids = np.where(position < length, rng.integers(3, V, size=(B, L)), PAD)
  ids[:, 0] = CLS
  maskable = (position > 0) & (position < length)
  return ids, maskable, jax.tree.map(np.asarray, mask(jax.random.key(0), ids, maskable))


@functools.partial(jax.jit, static_argnames='rate')
def mask(key, ids, maskable, rate=RATE):
  return mask_tokens(key, ids, maskable, rate=rate, mask_id=MASK_ID, vocab_size=V)


def was_hidden(ids, masked):
  """[B, L] bool, from the positions of non-zero weight."""
  found = np.zeros(ids.shape, int)
  rows = np.broadcast_to(np.arange(B)[:, None], masked.positions.shape)
  np.add.at(found, (rows, masked.positions), masked.weights.astype(int))
  assert found.max() == 1
  return found > 0


def p_value(counts, shares):
  return stats.chisquare(counts, np.sum(counts) * np.asarray(shares)).pvalue


def test_only_words_are_hidden_and_the_rest_stays(hidden):
  ids, maskable, masked = hidden
  found = was_hidden(ids, masked)
  assert not found[~maskable].any()
  np.testing.assert_array_equal(masked.token_ids[~found], ids[~found])
  np.testing.assert_array_equal(masked.targets, np.take_along_axis(ids, masked.positions, 1))
  assert set(np.unique(masked.weights)) == {0, 1}


def test_each_text_loses_its_share_of_words_and_at_least_one(hidden):
  ids, maskable, masked = hidden
  words = maskable.sum(1)
  expected = np.maximum(1, np.round(RATE * words))
  np.testing.assert_array_equal(masked.weights.sum(1), expected)
  np.testing.assert_array_equal(was_hidden(ids, masked).sum(1), expected)
  assert masked.positions.shape == (B, 3)
  assert len(set(words)) == L - 1


def test_shares_of_mask_random_and_kept(hidden):
  ids, _, masked = hidden
  found = was_hidden(ids, masked)
  shown, true = masked.token_ids[found], ids[found]
  counts = [np.sum(shown == MASK_ID), np.sum(shown == true)]
  counts.append(len(shown) - sum(counts))

  def shares(to_mask, to_random):
    # A random token is now and then the mask or the true one.
    same = to_random / V
    return [to_mask + same, 1 - to_mask - to_random + same, to_random * (1 - 2 / V)]

  assert p_value(counts, shares(0.8, 0.1)) > 1e-3
  assert p_value(counts, shares(0.75, 0.15)) < 1e-9
  assert p_value(counts, shares(0.85, 0.1)) < 1e-9


def test_random_tokens_are_uniform(hidden):
  ids, _, masked = hidden
  found = was_hidden(ids, masked)
  shown = masked.token_ids[found]
  replaced = shown[(shown != MASK_ID) & (shown != ids[found])]
  halves = np.bincount(replaced * 2 // V, minlength=2)
  # The mask, of the lower half, is not counted.
  lower = (V / 2 - 1) / (V - 1)
  assert p_value(halves, [lower, 1 - lower]) > 1e-3
  assert p_value(halves, [0.4, 0.6]) < 1e-9


def test_every_word_is_as_likely(hidden):
  ids, maskable, masked = hidden
  longest = maskable.sum(1) == L - 1
  counts = was_hidden(ids, masked)[longest].sum(0)[1:]
  assert p_value(counts, np.full(L - 1, 1 / (L - 1))) > 1e-3
  later = np.linspace(0.6, 1.4, L - 1)
  assert p_value(counts, later / later.sum()) < 1e-6


def test_a_text_without_words_weighs_nothing():
  ids = np.full((2, 5), CLS)
  masked = mask(jax.random.key(0), ids, jnp.zeros((2, 5), bool))
  np.testing.assert_array_equal(masked.token_ids, ids)
  assert not masked.weights.any()


@pytest.mark.parametrize(('rate', 'positions'), [(0.01, 1), (0.2, 1), (0.21, 2), (1, 5)])
def test_the_number_of_positions_depends_on_shapes_alone(rate, positions):
  ids = np.full((2, 5), 7)
  masked = mask(jax.random.key(0), ids, jnp.ones((2, 5), bool), rate)
  assert masked.positions.shape == (2, positions)
  assert (masked.weights.sum(1) == max(1, round(5 * rate))).all()


def test_the_key_decides(hidden):
  ids, maskable, first = hidden
  np.testing.assert_array_equal(mask(jax.random.key(0), ids, maskable).token_ids, first.token_ids)
  assert (mask(jax.random.key(1), ids, maskable).token_ids != first.token_ids).any(1).mean() > 0.5


def test_cross_entropy_equals_a_loop():
  logits = np.random.default_rng(0).normal(scale=3, size=(2, 3, 5))
  targets = np.array([[0, 4, 2], [1, 1, 3]])
  expected = [
    [-np.log(np.exp(row[t]) / np.exp(row).sum()) for row, t in zip(rows, ts, strict=True)]
    for rows, ts in zip(logits, targets, strict=True)
  ]
  actual = token_cross_entropy(jnp.float32(logits), jnp.asarray(targets))
  np.testing.assert_allclose(actual, expected, rtol=1e-5)
