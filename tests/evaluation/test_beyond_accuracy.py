"""Beyond-accuracy metrics against brute-force Python."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation import beyond_accuracy

COUNTS = np.array([0, 3, 12, 0, 1, 10, 9])


def test_exposure_counts_ignore_padding():
  items = np.array([[2, 0, -1], [2, 3, 2]])
  np.testing.assert_array_equal(beyond_accuracy.exposure_counts(items, 5), [1, 0, 3, 1, 0])


def test_numbers_of_items():
  assert beyond_accuracy.distinct_items(COUNTS) == 5
  assert beyond_accuracy.items_with_exposure(COUNTS) == 2
  assert beyond_accuracy.items_with_exposure(COUNTS, at_least=9) == 3
  assert beyond_accuracy.item_coverage(COUNTS) == pytest.approx(5 / 7)


def test_gini_equals_the_mean_difference_over_pairs():
  mean_difference = np.abs(COUNTS[:, None] - COUNTS).mean() / (2 * COUNTS.mean())
  assert beyond_accuracy.gini_index(COUNTS) == pytest.approx(mean_difference, abs=1e-6)


def test_gini_and_entropy_at_their_ends():
  equal, single = np.full(8, 5), np.eye(8)[3]
  assert beyond_accuracy.gini_index(equal) == pytest.approx(0, abs=1e-6)
  assert beyond_accuracy.gini_index(single) == pytest.approx(1 - 1 / 8)
  assert beyond_accuracy.shannon_entropy(equal) == pytest.approx(math.log(8))
  assert beyond_accuracy.shannon_entropy(single) == 0


def test_entropy_equals_brute_force():
  shares = [c / COUNTS.sum() for c in COUNTS if c]
  expected = -sum(p * math.log(p) for p in shares)
  assert beyond_accuracy.shannon_entropy(COUNTS) == pytest.approx(expected, rel=1e-6)


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
  assert novelty == pytest.approx(expected, rel=1e-6)


def test_intra_list_diversity_equals_brute_force_over_pairs():
  vectors = np.random.default_rng(0).normal(size=(9, 4))
  items = np.array([5, 2, 8, -1, -1])
  distances = [
    1 - vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])
    for i, j in itertools.combinations(items[:3], 2)
  ]
  value = beyond_accuracy.intra_list_diversity(items, vectors)
  assert value == pytest.approx(np.mean(distances), rel=1e-5)
  rescaled = beyond_accuracy.intra_list_diversity(items, 7 * vectors)
  assert rescaled == pytest.approx(float(value), rel=1e-5)
  assert np.isnan(beyond_accuracy.intra_list_diversity(jnp.array([3, -1]), vectors))


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
    value = beyond_accuracy.serendipity(items, relevant, popularity)
    assert value == pytest.approx(total / 6, abs=1e-6)


def test_serendipity_equals_the_example_of_rectools():
  """From the docstring of rectools.metrics.Serendipity: users u1 and u4, k = 1 and 2."""
  popularity = np.array([3, 2, 0, 0])
  relevant_1, relevant_4 = np.array([1, 1, 0, 0]), np.array([0, 1, 0, 0])
  values = [
    beyond_accuracy.serendipity(np.array(items), relevant, popularity)
    for items, relevant in [
      ([0], relevant_1),
      ([1], relevant_4),
      ([1, 2], relevant_4),
    ]
  ]
  np.testing.assert_allclose(values, [0, 0.25, 0.125], atol=1e-6)
