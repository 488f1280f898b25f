"""What a policy earns at worst: the mean of its lowest rewards. NumPy, float64."""

import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.evaluation.off_policy.estimators import Rounds


def cvar(
  rounds: Rounds, share: float = 0.1, *, cluster: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
  """Conditional value at risk of a policy's rewards, by self-normalised weights.

  That is the mean of the lowest share of the rewards that it would have earned, for which SCOPE-RL
  asks beside the mean (Kiyohara et al. 2023). With the quantile q of that share it is the mean of
  q - max(q - r, 0) / share (Rockafellar & Uryasev 2000), in which an error of q has no effect of
  first order, so that the interval holds q.

  Args:
    rounds: [n].
    share: of the rewards, in (0, 1].
    cluster: [n] which rounds depend on each other; none if not given.
    level: probability of covering, for many rounds.

  Returns:
    The estimate; NaN where no round has weight.
  """
  weight, reward = (np.asarray(x, np.float64) for x in (rounds.weight, rounds.reward))
  scale = weight.mean()
  if scale == 0:
    return Estimate(np.nan, np.nan, np.nan, len(weight))
  order = np.argsort(reward, kind='stable')
  below = np.cumsum(weight[order])
  quantile = reward[order[np.searchsorted(below, share * below[-1])]]
  lowest = quantile - np.maximum(quantile - reward, 0) / share
  value = float(weight @ lowest / weight.sum())
  return corrected_t(summed(value + weight * (lowest - value) / scale, cluster), level=level)
