"""Empirical likelihood of a policy's value, given that importance weights average 1.

Of all distributions over the rounds of a log those are asked about under which the weights average
1, as they do in truth; the value is that of the most likely one, and the interval holds those of
which the likelihood is not much less (Karampatziakis, Langford & Mineiro 2020; Owen 2001). Neither
a variance nor a symmetric law is assumed, and what is known of the weights narrows it. NumPy,
float64.
"""

from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds

_NEWTON_STEPS = 50
# Of the log-likelihood, whose differences of 2 count.
_TOLERANCE = 1e-10
# Standard errors in which the ends of an interval are looked for at first.
_FIRST_BRACKET = 4.0


def likelihood(
  rounds: Rounds, estimator: Estimator, *, cluster: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
  """The most likely mean of what rounds add to an estimate, with its interval.

  The ratio of likelihoods is held against the F distribution with 1 and n - 1 degrees of freedom.
  As weights average 1, dividing by their mean changes nothing, and self-normalised estimators are
  the same as the others.

  Args:
    rounds: [n], weights not clipped.
    estimator: which may clip them.
    cluster: [n] which rounds depend on each other; the likelihood is then of clusters.
    level: probability of covering, for many rounds.

  Returns:
    The estimate. Its ends are NaN for n = 1, where all weights are on one side of 1, and for an
    estimator that divides by anything but the weights.
  """
  terms, weight = estimator(rounds), np.asarray(rounds.weight, np.float64)
  added = np.asarray(terms.direct, np.float64) + np.asarray(terms.correction, np.float64)
  divisor = np.asarray(terms.normaliser, np.float64)
  unit = np.arange(len(weight)) if cluster is None else np.unique(cluster, return_inverse=True)[1]
  size, excess, total = (
    np.bincount(unit, column) for column in (np.ones_like(weight), weight - 1, added)
  )
  # Not of weights, but of their rounding in single precision.
  excess[np.abs(excess) <= 1e-6 * size] = 0
  num_units, total_divisor = len(size), divisor.sum()
  plain = float(added.sum() / total_divisor) if total_divisor else np.nan
  known = (divisor == 1).all() or np.array_equal(divisor, weight)
  one_sided = excess.any() and ((excess >= 0).all() or (excess <= 0).all())
  if num_units == 1 or not known or one_sided:
    return Estimate(plain, np.nan, np.nan, num_units)
  tilt, least = _dual(excess[:, None], np.zeros(1))
  share = 1 / (1 + excess * tilt[0])
  value = float(share @ total / (share @ size))
  residual = total - value * size
  if excess.any():
    # What is left of it by the weights.
    residual = residual - excess * (share * excess @ residual) / (share * excess @ excess)
  error = float(np.sqrt((share * residual) @ residual)) / len(weight)
  # What is left is then the rounding of weights in single precision.
  if error <= 1e-6 * np.abs(added).max() / np.sqrt(num_units):
    return Estimate(value, value, value, num_units)
  bound = float(scipy.special.stdtrit(num_units - 1, (1 + level) / 2))
  start = np.array([tilt[0], 0.0])

  def beyond(end: float) -> float:
    """Square roots of twice the loss of likelihood are like standard errors."""
    columns = np.stack([excess, (total - end * size) / (error * len(weight))], axis=1)
    return float(np.sqrt(max(2 * (_dual(columns, start)[1] - least), 0))) - bound

  low, high = (_crossing(beyond, value, sign * error) for sign in (-1, 1))
  return Estimate(value, low, high, num_units)


def _crossing(beyond: Callable[[float], float], value: float, step: float) -> float:
  reach = _FIRST_BRACKET * step
  while beyond(value + reach) < 0:
    reach *= 2
  return float(scipy.optimize.brentq(beyond, value, value + reach, xtol=1e-6 * abs(step)))


def _dual(columns: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
  """The t [m] that makes the sum of log(1 + columns [n, m] t) largest, and this sum.

  It is what the likelihood loses if the means of the columns have to be 0, infinite where they
  cannot be. Below 1 / n the logarithm goes on as a parabola (Owen 2001, section 12.3), so that no
  step leaves its domain.
  """
  floor = 1 / len(columns)

  def parts(t: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    z = 1 + columns @ t
    inside = z >= floor
    safe = np.where(inside, z, floor)
    ratio = z / floor
    value = np.where(inside, np.log(safe), np.log(floor) - 1.5 + 2 * ratio - ratio**2 / 2)
    slope = np.where(inside, 1 / safe, (2 - ratio) / floor)
    return float(value.sum()), slope, np.where(inside, 1 / safe**2, 1 / floor**2)

  t = start
  best, slope, curve = parts(t)
  for _ in range(_NEWTON_STEPS):
    gradient = columns.T @ slope
    hessian = (columns.T * curve) @ columns
    hessian += 1e-14 * np.trace(hessian) * np.eye(len(t)) + 1e-300 * np.eye(len(t))
    move = np.linalg.solve(hessian, gradient)
    gain = float(gradient @ move)
    if gain < _TOLERANCE:
      break
    while True:
      found = parts(t + move)
      if found[0] >= best or np.abs(move).max() < 1e-15 * np.abs(t).max():
        break
      move = move / 2
    t, (best, slope, curve) = t + move, found
  else:
    # Steps that go on doubling t: all columns are on one side of 0, and nothing has this mean.
    best = np.inf if gain > 0.5 else best
  return t, best
