"""Beyond-accuracy metrics against brute-force Python."""

import itertools
import math

import numpy as np
import pytest

from rec_jax.evaluation import beyond_accuracy

COUNTS = np.array([0, 3, 12, 0, 1, 10, 9])


def test_exposure_counts_ignore_padding():
  items = np.array([[2, 0, -1], [2, 3, 2]])
  np.testing.assert_array_equal(beyond_accuracy.exposure_counts(items, 5), [1, 0, 3, 1, 0])


def test_coverage():
  assert beyond_accuracy.item_coverage(COUNTS) == pytest.approx(5 / 7)


def test_gini_equals_the_mean_difference_over_pairs():
  mean_difference = np.abs(COUNTS[:, None] - COUNTS).mean() / (2 * COUNTS.mean())
  assert beyond_accuracy.gini_index(COUNTS) == pytest.approx(mean_difference, abs=1e-12)


def test_gini_and_entropy_at_their_ends():
  equal, single = np.full(8, 5), np.eye(8)[3]
  assert beyond_accuracy.gini_index(equal) == pytest.approx(0, abs=1e-12)
  assert beyond_accuracy.gini_index(single) == pytest.approx(1 - 1 / 8)
  assert beyond_accuracy.shannon_entropy(equal) == pytest.approx(math.log(8))
  assert beyond_accuracy.shannon_entropy(single) == 0


def test_entropy_equals_brute_force():
  shares = [c / COUNTS.sum() for c in COUNTS if c]
  expected = -sum(p * math.log(p) for p in shares)
  assert beyond_accuracy.shannon_entropy(COUNTS) == pytest.approx(expected, rel=1e-12)


def test_cold_share():
  is_cold = np.array([True, True, False, False, True, False, False])
  assert beyond_accuracy.cold_share(COUNTS, is_cold) == pytest.approx(4 / 35)


@pytest.mark.parametrize('metric', [beyond_accuracy.gini_index, beyond_accuracy.shannon_entropy])
def test_no_exposure_is_nan(metric):
  assert np.isnan(metric(np.zeros(4)))


def test_average_popularity_and_novelty_of_a_padded_list():
  users_of_item = np.array([100, 0, 25])
  items = np.array([0, 1, 2, -1])
  assert beyond_accuracy.average_popularity(items, users_of_item) == pytest.approx(125 / 3)
  expected = (0 + math.log2(100) + 2) / 3
  novelty = beyond_accuracy.mean_inv_user_freq(items, users_of_item, 100)
  assert novelty == pytest.approx(expected, rel=1e-12)


def test_intra_list_diversity_equals_brute_force_over_pairs():
  vectors = np.random.default_rng(0).normal(size=(9, 4))
  items = np.array([5, 2, 8, -1, -1])
  distances = [
    1 - vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
    for i, j in itertools.combinations(items[:3], 2)
  ]
  value = beyond_accuracy.intra_list_diversity(items, vectors)
  assert value == pytest.approx(np.mean(distances), rel=1e-12)
  rescaled = beyond_accuracy.intra_list_diversity(items, 7 * vectors)
  assert rescaled == pytest.approx(float(value), rel=1e-12)
  assert np.isnan(beyond_accuracy.intra_list_diversity(np.array([3, -1]), vectors))


def test_serendipity_equals_brute_force():
  rng = np.random.default_rng(1)
  popularity = rng.integers(0, 5, 20)
  levels = sorted({p for p in popularity if p > 0}, reverse=True)
  for _ in range(20):
    items, relevant = rng.permutation(20)[:6], rng.random(20) < 0.5
    total = 0.0
    for place, item in enumerate(items, start=1):
      pop = popularity[item]
      by_any = (21 - (levels.index(pop) + 1)) / 20 if pop else 0
      total += max((21 - place) / 20 - by_any, 0) * relevant[item]
    value = beyond_accuracy.serendipity(items, relevant[items], popularity)
    assert value == pytest.approx(total / 6, abs=1e-12)


def test_serendipity_equals_the_example_of_rectools():
  """From the docstring of rectools.metrics.Serendipity: users u1 and u4, k = 1 and 2."""
  popularity = np.array([3, 2, 0, 0])
  relevant_1, relevant_4 = np.array([1, 1, 0, 0]), np.array([0, 1, 0, 0])
  values = [
    beyond_accuracy.serendipity(np.array(items), relevant[items], popularity)
    for items, relevant in [
      ([0], relevant_1),
      ([1], relevant_4),
      ([1, 2], relevant_4),
    ]
  ]
  np.testing.assert_allclose(values, [0, 0.25, 0.125], atol=1e-12)


def test_lists_keep_a_value_each():
  rng = np.random.default_rng(2)
  items = np.stack([rng.permutation(12)[:5] for _ in range(4)])
  items[1, 3:], items[2] = -1, -1
  popularity, vectors = rng.integers(0, 6, 12), rng.normal(size=(12, 3))
  relevant = rng.random((4, 5)) < 0.5
  for metric, *arguments in (
    (beyond_accuracy.average_popularity, popularity),
    (beyond_accuracy.mean_inv_user_freq, popularity, 9),
    (beyond_accuracy.intra_list_diversity, vectors),
  ):
    one_by_one = [metric(row, *arguments) for row in items]
    np.testing.assert_allclose(metric(items, *arguments), one_by_one, rtol=1e-14)
    assert np.isnan(one_by_one).tolist() == [False, False, True, False]
  together = beyond_accuracy.serendipity(items, relevant, popularity)
  one_by_one = [
    beyond_accuracy.serendipity(row, liked, popularity)
    for row, liked in zip(items, relevant, strict=True)
  ]
  np.testing.assert_allclose(together, one_by_one, rtol=1e-14)


def test_many_lists_are_looked_at_in_parts(monkeypatch):
  rng = np.random.default_rng(5)
  items, vectors = rng.integers(0, 12, (2, 7, 4)), rng.normal(size=(12, 3)).astype(np.float32)
  whole = beyond_accuracy.intra_list_diversity(items, vectors)
  monkeypatch.setattr(beyond_accuracy, '_LISTS', 3)
  np.testing.assert_array_equal(beyond_accuracy.intra_list_diversity(items, vectors), whole)
  assert whole.shape == (2, 7)
