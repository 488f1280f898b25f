"""Precision, recall and F1 against a loop, and intervals that are tested in both directions."""

import jax
import numpy as np
import pytest
import scipy.stats

from rec_jax.evaluation import classification
from rec_jax.evaluation.classification import MACRO, METRICS, MICRO

KEY = jax.random.key(0)


def values(estimates):
  return [estimates[metric].value for metric in METRICS]


def by_loop(predicted, actual):
  """Precision, recall and F1 of one class, from what they mean in words."""
  found = [guess and truth for guess, truth in zip(predicted, actual, strict=True)]
  precision = sum(found) / sum(predicted) if sum(predicted) else 0.0
  recall = sum(found) / sum(actual) if sum(actual) else 0.0
  harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
  return [precision, recall, harmonic]


def random_labels(exclusive, n=60, num_classes=5, seed=0):
  rng = np.random.default_rng(seed)
  if not exclusive:
    return rng.random((n, num_classes)) < 0.3, rng.random((n, num_classes)) < 0.3
  # The last class never occurs, and the first but one is never predicted.
  actual = rng.integers(0, num_classes - 1, n)
  predicted = np.where(rng.random(n) < 0.5, actual, rng.integers(0, num_classes, n))
  predicted[predicted == 1] = 2
  return (each[:, None] == np.arange(num_classes) for each in (predicted, actual))


@pytest.mark.parametrize('exclusive', [True, False])
def test_each_class_and_the_averages_equal_a_loop(exclusive):
  predicted, actual = random_labels(exclusive)
  found = classification.report(KEY, predicted, actual)
  expected = [by_loop(predicted[:, c], actual[:, c]) for c in range(5)]
  np.testing.assert_allclose([values(each) for each in found.classes], expected)
  np.testing.assert_array_equal(found.support, actual.sum(0))
  occurs = actual.any(0)
  assert occurs.all() != exclusive
  mean = np.asarray(expected)[occurs].mean(0)
  np.testing.assert_allclose(values(found.averages[MACRO]), mean)
  pooled = by_loop(predicted.ravel(), actual.ravel())
  np.testing.assert_allclose(values(found.averages[MICRO]), pooled)
  if exclusive:
    right = (predicted & actual).any(1).mean()
    np.testing.assert_allclose(values(found.averages[MICRO]), right)


def test_intervals_cover_as_often_as_they_say():
  """And those of half the width do not."""
  rng, truth, covered, halved = np.random.default_rng(0), 0.6, [], []
  for i in range(200):
    actual = rng.random((80, 1)) < 0.5
    predicted = np.where(rng.random((80, 1)) < truth, actual, False)
    recall = classification.report(jax.random.key(i), predicted, actual, resamples=300).classes[0]
    low, high = recall['recall'].low, recall['recall'].high
    middle, half = (low + high) / 2, (high - low) / 4
    covered.append(low <= truth <= high)
    halved.append(abs(truth - middle) <= half)
  assert scipy.stats.binomtest(sum(covered), 200, 0.95).pvalue > 1e-3
  assert scipy.stats.binomtest(sum(halved), 200, 0.95).pvalue < 1e-6


def test_events_of_a_user_are_drawn_together():
  """Ten copies of each event say no more than one."""
  predicted, actual = (np.asarray(each) for each in random_labels(True))
  once = classification.report(KEY, predicted, actual).averages[MACRO]['F1']
  copies = [np.repeat(each, 10, axis=0) for each in (predicted, actual)]
  units = np.repeat(np.arange(len(actual)), 10)
  many = classification.report(KEY, *copies, units).averages[MACRO]['F1']
  np.testing.assert_allclose([once.low, once.high], [many.low, many.high])
  assert once.n == many.n == 60
  apart = classification.report(KEY, *copies).averages[MACRO]['F1']
  assert apart.n == 600 and apart.high - apart.low < (once.high - once.low) / 2


def test_what_all_resamples_agree_on_has_no_interval():
  actual = np.array([[True, False]] * 3 + [[False, True]] * 3)
  predicted = np.array([[True, False]] * 6)
  found = classification.report(KEY, predicted, actual)
  never = found.classes[1]['recall']
  assert never.value == 0 and np.isnan(never.low) and np.isnan(never.high)
  assert found.classes[0]['precision'].low < 0.5 < found.classes[0]['precision'].high


def test_a_gain_is_paired_and_of_the_same_examples():
  predicted, actual = (np.asarray(each) for each in random_labels(False))
  same = classification.gain(KEY, predicted, predicted, actual)
  assert same[MACRO].value == same[MICRO].value == 0
  baseline = np.zeros_like(predicted)
  found = classification.gain(KEY, predicted, baseline, actual)
  alone = classification.report(KEY, predicted, actual).averages
  for name, gain in found.items():
    assert gain == alone[name]['F1']


@pytest.mark.parametrize(('shape', 'other'), [((3, 2), (4, 2)), ((0, 2), (0, 2)), ((3,), (3,))])
def test_shapes_that_differ_or_hold_nothing_are_refused(shape, other):
  with pytest.raises(ValueError, match='predictions'):
    classification.report(KEY, np.ones(shape, bool), np.ones(other, bool))


@pytest.mark.parametrize('exclusive', [True, False])
def test_each_class_and_the_averages_equal_those_of_scikit_learn(exclusive):
  metrics = pytest.importorskip('sklearn.metrics')
  predicted, actual = random_labels(exclusive)
  found = classification.report(KEY, predicted, actual)
  occurs = np.flatnonzero(actual.any(0))
  score = metrics.precision_recall_fscore_support
  *expected, support = score(actual, predicted, zero_division=0)
  np.testing.assert_allclose([values(each) for each in found.classes], np.transpose(expected))
  np.testing.assert_array_equal(found.support, support)
  for name, settings in (
    (MACRO, {'average': 'macro', 'labels': occurs}),
    (MICRO, {'average': 'micro'}),
  ):
    *expected, _ = score(actual, predicted, zero_division=0, **settings)
    np.testing.assert_allclose(values(found.averages[name]), expected)
