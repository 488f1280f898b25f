"""Permutation tests against enumeration, SciPy and the level that they promise; Holm by hand."""

import itertools

import jax
import numpy as np
import pytest
from scipy import stats

from rec_jax.evaluation import significance

KEY = jax.random.key(0)


def test_holm_by_hand():
  # Sorted .01 .02 .03 .5 times 4 3 2 1 is .04 .06 .06 .5: the third may not be below the second.
  assert significance.holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
  assert significance.holm([0.6, 0.7]) == [1.0, 1.0]


def test_few_users_are_enumerated():
  rng = np.random.default_rng(0)
  differences = np.round(rng.normal(0.4, 1, (7, 3)), 1)
  found = significance.paired_permutation(KEY, differences)
  for column, p_value in zip(differences.T, found, strict=True):
    sums = [abs(np.dot(signs, column)) for signs in itertools.product((1, -1), repeat=7)]
    assert p_value == pytest.approx(np.mean([s >= abs(column.sum()) - 1e-9 for s in sums]))


def test_many_users_are_sampled_like_scipy():
  rng = np.random.default_rng(1)
  differences = rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.5, 0.3], size=(150, 1))
  (found,) = significance.paired_permutation(KEY, differences)
  expected = stats.permutation_test(
    (differences[:, 0],), np.mean, permutation_type='samples', n_resamples=9_999, rng=rng
  ).pvalue
  # Two samples of ten thousand each.
  assert 0.01 < expected < 0.5
  assert found == pytest.approx(expected, abs=5 * np.sqrt(2 * expected / 9_999))


def test_p_values_are_uniform_where_nothing_differs_and_small_where_something_does():
  rng = np.random.default_rng(2)
  # Skew within users would mislead Student's test; signs at random it does not.
  null = rng.exponential(size=(40, 2000)) * rng.choice([-1, 1], (40, 2000))
  p_values = significance.paired_permutation(KEY, null, resamples=499)
  for level in (0.05, 0.2):
    assert (p_values <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level / 2000))
  assert (significance.paired_permutation(KEY, null + 2, resamples=499) == 1 / 500).mean() > 0.95


def test_the_least_p_value_and_users_who_do_not_differ():
  ones = np.ones((200, 1))
  assert significance.paired_permutation(KEY, ones, resamples=99) == 1 / 100
  padded = np.concatenate([np.zeros((5000, 1)), np.ones((5, 1))])
  assert significance.paired_permutation(KEY, padded) == 2 / 32
  assert significance.paired_permutation(KEY, np.zeros((3, 1))) == 1
  with pytest.raises(ValueError, match='not empty'):
    significance.paired_permutation(KEY, np.zeros((0, 1)))


def test_rows_are_compared_with_the_best_and_corrected_for_all_pairs():
  rng = np.random.default_rng(3)
  base = rng.normal(size=300)
  table = {
    'low': base + rng.normal(-0.5, 0.1, 300),
    'best': base + 0.1,
    'near': base + 0.1 + rng.normal(-0.001, 0.1, 300),
  }
  best, p_values = significance.permutation_against_best(KEY, table)
  assert best == 'best' and set(p_values) == {'low', 'near'}
  # Three pairs, two of them as clear as can be.
  assert p_values['low'] == pytest.approx(3e-4)
  assert p_values['near'] > 0.1
  assert significance.permutation_against_best(KEY, {'one': base}) == ('one', {})
  by_name = {('a', 'b'): 0.02, ('a', 'c'): 0.04, ('b', 'c'): 0.01}
  corrected = significance.holm_against_best('abc', lambda a, b: by_name[a, b])
  assert corrected == pytest.approx({'b': 0.04, 'c': 0.04})
