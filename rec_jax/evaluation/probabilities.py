"""How good predicted probabilities are: order (AUC), log-loss, and calibration, in float64."""

from typing import NamedTuple

import numpy as np
import scipy.stats
from jax.typing import ArrayLike


class Reliability(NamedTuple):
  """The reliability diagram: predictions in bins of equal width (Murphy & Winkler 1977).

  Attributes:
    predicted: [bins] mean predicted probability of each bin, NaN where it is empty.
    observed: [bins] share of ones in each bin, likewise.
    size: [bins] int, predictions in each bin.
  """

  predicted: np.ndarray
  observed: np.ndarray
  size: np.ndarray


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
  """Area under the ROC curve: how often a one scores higher than a zero, equal scores half.

  The statistic of Mann & Whitney (1947) over the number of pairs.

  Args:
    scores: [n], of any scale.
    labels: [n] zeros and ones.

  Returns:
    In [0, 1]; NaN where all labels are the same.
  """
  scores, positive = _checked(scores, labels)
  ones = int(positive.sum())
  zeros = len(positive) - ones
  if not ones or not zeros:
    return float('nan')
  ranks = scipy.stats.rankdata(scores)[positive]
  return float((ranks.sum() - ones * (ones + 1) / 2) / (ones * zeros))


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> np.ndarray:
  """Negative log-likelihood of each label in nats, not averaged.

  Args:
    probabilities: [n] of a one; 0 and 1 are moved in by the rounding of float64, as scikit-learn
      does it, so that a wrong certainty costs 36 nats and not infinitely many.
    labels: [n] zeros and ones.

  Returns:
    [n] float64.
  """
  p, positive = _checked_probabilities(probabilities, labels)
  tiny = np.finfo(np.float64).eps
  p = np.clip(p, tiny, 1 - tiny)
  return -np.where(positive, np.log(p), np.log1p(-p))


def reliability(probabilities: ArrayLike, labels: ArrayLike, bins: int = 10) -> Reliability:
  """Sorts predictions into bins of equal width, (i / bins, (i + 1) / bins]; 0 is in the first.

  Args:
    probabilities: [n] of a one.
    labels: [n] zeros and ones.
    bins: their number.

  Returns:
    The diagram.
  """
  p, positive = _checked_probabilities(probabilities, labels)
  # Edges as such, since p * bins rounds up where p is one of them.
  place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p)
  count = np.bincount(place, minlength=bins)
  with np.errstate(invalid='ignore'):
    predicted, observed = (np.bincount(place, x, bins) / count for x in (p, positive))
  return Reliability(predicted, observed, count)


def expected_calibration_error(
  probabilities: ArrayLike, labels: ArrayLike, bins: int = 10
) -> float:
  """Mean over predictions of |predicted - observed| of their bin (Naeini et al. 2015).

  Args:
    probabilities: [n] of a one.
    labels: [n] zeros and ones.
    bins: of equal width.

  Returns:
    In [0, 1]. It is biased upwards where bins hold few predictions.
  """
  diagram = reliability(probabilities, labels, bins)
  gap = np.abs(diagram.predicted - diagram.observed)
  return float(np.nansum(diagram.size * gap) / diagram.size.sum())


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
  """Scores as float64 and labels as bool."""
  scores, labels = np.asarray(scores, np.float64), np.asarray(labels)
  if scores.ndim != 1 or scores.shape != labels.shape or not len(scores):
    raise ValueError(f'expected scores [n] and labels [n], got {scores.shape} and {labels.shape}')
  if np.isnan(scores).any() or not np.isin(labels, (0, 1)).all():
    raise ValueError('scores must not be NaN, and labels must be zeros and ones')
  return scores, labels.astype(bool)


def _checked_probabilities(
  probabilities: ArrayLike, labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
  p, positive = _checked(probabilities, labels)
  if p.min() < 0 or p.max() > 1:
    raise ValueError(f'probabilities from {p.min():g} to {p.max():g} are not within 0 and 1')
  return p, positive
