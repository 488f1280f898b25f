"""Student's interval for means of weighted rewards, which are skewed and have heavy tails."""

import numpy as np
import scipy.special
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate


def corrected_t(values: ArrayLike, *, level: float = 0.95) -> Estimate:
  """Student's interval for a mean, corrected for skewness and for what heavy tails hide.

  Weighted rewards are skewed: where few large ones came, mean and standard error are both low, and
  the plain interval ends too early. The t statistic is therefore made symmetric by the cubic of
  Hall (1992, section 2), and its degrees of freedom are those of the variance of such values,
  2 n / (kurtosis - 1), as Satterthwaite (1946) takes them, at most n - 1.

  Args:
    values: [n] independent.
    level: probability of covering the mean, for many rounds.

  Returns:
    The estimate; its ends are NaN for n = 1.
  """
  values = np.asarray(values, np.float64)
  n, mean = values.size, float(values.mean())
  if n == 1:
    return Estimate(mean, np.nan, np.nan, 1)
  centred = values - mean
  variance = float((centred**2).mean())
  if variance <= (1e-12 * np.abs(values).max()) ** 2:
    return Estimate(mean, mean, mean, n)
  kurtosis = float((centred**4).mean()) / variance**2
  freedom = min(n - 1, 2 * n / max(kurtosis - 1, 1e-12))
  skew = float((centred**3).mean()) / variance**1.5 / np.sqrt(n)
  bound = float(scipy.special.stdtrit(freedom, (1 + level) / 2))
  high, low = (_before_hall(sign * bound, skew) for sign in (-1, 1))
  error = float(np.sqrt(variance / (n - 1)))
  return Estimate(mean, mean - error * low, mean - error * high, n)


def summed(values: np.ndarray, cluster: ArrayLike | None) -> np.ndarray:
  """[G] a value a cluster, of the same mean as [n], whose spread is that of sums over clusters."""
  if cluster is None:
    return values
  group = np.unique(cluster, return_inverse=True)[1]
  mean, num_groups = values.mean(), group.max() + 1
  return mean + np.bincount(group, values - mean) * num_groups / len(values)


def _before_hall(value: float, skew: float) -> float:
  """The t that the transformation t + s t^2 / 3 + s^2 t^3 / 27 + s / 6 makes this value."""
  if abs(skew) < 1e-6:
    return value
  return 3 / skew * float(np.cbrt(1 + skew * (value - skew / 6)) - 1)
