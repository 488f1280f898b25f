"""Precision, recall and F1 of each class, and their averages, with bootstrap intervals.

A prediction holds every class or does not, and so does the truth: of exclusive classes exactly one
is held, of others any number, and both are judged alike. With the true positives TP, the false
positives FP and the false negatives FN of a class, precision is TP / (TP + FP), recall
TP / (TP + FN), and F1 = 2 TP / (2 TP + FP + FN), their harmonic mean; 0 where nothing is divided.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate

F1 = 'F1'
METRICS = ('precision', 'recall', F1)
# The mean over the classes that occur, and that of all decisions, of which each counts the same:
# where one class is predicted for each example it is the share that is right.
MACRO, MICRO = 'macro average', 'micro average'
AVERAGES = (MACRO, MICRO)


class Report(NamedTuple):
  """How well each of C classes is told.

  Attributes:
    support: [C] int, how often each class is the truth.
    classes: for each class, metric -> estimate.
    averages: for each of `AVERAGES`, metric -> estimate.
  """

  support: np.ndarray
  classes: list[dict[str, Estimate]]
  averages: dict[str, dict[str, Estimate]]


def report(
  key: jax.Array,
  predicted: ArrayLike,
  actual: ArrayLike,
  units: ArrayLike | None = None,
  *,
  level: float = 0.95,
  resamples: int = intervals.RESAMPLES,
) -> Report:
  """Judges predictions.

  Args:
    key: typed key.
    predicted: [n, C] bool.
    actual: [n, C] bool.
    units: [n] labels of what is resampled, such as the user of each event; each by itself if not
      given.
    level: probability that each interval, by itself, covers.
    resamples: number of bootstrap samples of the units.

  Returns:
    The report; the n of an estimate is that of the units. Its ends are NaN where all resamples
    agree, as of a class that is never found: they then say nothing of what others would show.

  Raises:
    ValueError: the shapes differ, or there is no example.
  """
  support = np.asarray(actual, bool).sum(0)
  rows = _estimates(
    key,
    lambda sums: _scores(sums, support > 0),
    _counts(predicted, actual, units),
    level,
    resamples,
  )
  return Report(support, rows[:-2], dict(zip(AVERAGES, rows[-2:], strict=True)))


def gain(
  key: jax.Array,
  predicted: ArrayLike,
  baseline: ArrayLike,
  actual: ArrayLike,
  units: ArrayLike | None = None,
  *,
  level: float = 0.95,
  resamples: int = intervals.RESAMPLES,
) -> dict[str, Estimate]:
  """F1 less that of a baseline on the same examples, both averages, paired by unit; see `report`.

  Args:
    key: typed key.
    predicted: [n, C] bool.
    baseline: [n, C] bool, other predictions.
    actual: [n, C] bool.
    units: [n].
    level: of the intervals.
    resamples: likewise.
  """
  both = [_counts(each, actual, units) for each in (predicted, baseline)]
  occurs = np.asarray(actual, bool).sum(0) > 0

  def difference(sums: np.ndarray) -> np.ndarray:
    return _scores(sums[..., 0, :, :], occurs) - _scores(sums[..., 1, :, :], occurs)

  rows = _estimates(key, difference, np.stack(both, axis=1), level, resamples)
  return {name: row[F1] for name, row in zip(AVERAGES, rows[-2:], strict=True)}


def _counts(predicted: ArrayLike, actual: ArrayLike, units: ArrayLike | None) -> np.ndarray:
  """[U, 3, C], true positives, false positives and false negatives within each unit."""
  predicted, actual = np.asarray(predicted, bool), np.asarray(actual, bool)
  if predicted.shape != actual.shape or predicted.ndim != 2 or not len(actual):
    raise ValueError(f'predictions {predicted.shape} of classes {actual.shape}')
  one = np.stack([predicted & actual, predicted & ~actual, actual & ~predicted], axis=1)
  if units is None:
    return one.astype(np.float64)
  number = np.unique(np.asarray(units), return_inverse=True)[1]
  sums = np.zeros((number.max() + 1, *one.shape[1:]))
  np.add.at(sums, number, one)
  return sums


def _estimates(
  key: jax.Array,
  statistic: Callable[[np.ndarray], np.ndarray],
  counts: np.ndarray,
  level: float,
  resamples: int,
) -> list[dict[str, Estimate]]:
  """A statistic [..., C + 2, 3] of sums [..., *] of counts [U, *], by row and metric."""
  number, *shape = counts.shape
  means = intervals.resampled_means(key, counts.reshape(number, -1), resamples)
  # Counts are whole: what rounding leaves of none would be divided by.
  drawn = statistic(np.rint(means * number).reshape(-1, *shape))
  low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
  low, high = (np.where(low < high, end, np.nan) for end in (low, high))
  value = statistic(counts.sum(0))

  def estimate(place: tuple[int, int]) -> Estimate:
    return Estimate(float(value[place]), float(low[place]), float(high[place]), number)

  return [{name: estimate((row, i)) for i, name in enumerate(METRICS)} for row in range(len(value))]


def _scores(counts: np.ndarray, occurs: np.ndarray) -> np.ndarray:
  """[..., C + 2, 3] of counts [..., 3, C]: each class, then the averages."""
  classes = _of_counts(counts)
  macro = classes[..., occurs, :].sum(-2, keepdims=True) / max(1, occurs.sum())
  micro = _of_counts(counts.sum(-1, keepdims=True))
  return np.concatenate([classes, macro, micro], axis=-2)


def _of_counts(counts: np.ndarray) -> np.ndarray:
  """[..., C, 3] precision, recall and F1 of counts [..., 3, C]."""
  hits, false_alarms, misses = (counts[..., i, :] for i in range(3))
  parts = (
    (hits, hits + false_alarms),
    (hits, hits + misses),
    (2 * hits, 2 * hits + false_alarms + misses),
  )
  return np.stack([top / np.where(bottom > 0, bottom, 1) for top, bottom in parts], axis=-1)
