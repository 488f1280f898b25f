"""What one policy earns more than another, and how much hidden confounding could undo that.

A log by a person or by a system that is known in part only may depend on what also moves rewards,
and then its propensities are those given the recorded context, not the true ones. The marginal
sensitivity model (Tan 2006) lets the odds of the logged action differ from the recorded ones by a
factor of at most gamma either way, so that 1 / p lies between 1 + (1 / p - 1) / gamma and
1 + (1 / p - 1) gamma. Bounds are the extremes of the self-normalised estimate over all of these
(Zhao, Small & Bhattacharya 2019; for policies Kallus & Zhou 2018), exact: the extremes of such a
ratio give the largest weight to all rewards on one side of a threshold and the least to the others.

A policy is its probability of each logged action, [n]; an item is the policy that always shows it:
`(action == item).astype(float)`. Everything is float64 on the host.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate, t_interval
from rec_jax.evaluation.off_policy.validation import check_finite, check_propensities
from rec_jax.types import InputError

# Confounding beyond this is as good as any.
LARGEST_GAMMA = 1e4
BISECTIONS = 20


@dataclasses.dataclass(frozen=True)
class Bounds:
  """What an effect may be under confounding of at most gamma.

  Attributes:
    least: the effect in the worst case for the first policy, with its interval.
    most: in the best case. An interval for the effect itself reaches from `least.low` to
      `most.high`.
  """

  least: Estimate
  most: Estimate


@dataclasses.dataclass(frozen=True)
class Effect(Estimate):
  """What one policy earns more than another a round, with a paired interval.

  Attributes:
    gamma: smallest gamma at which the bounds hold 0; 1 where the estimate is 0, inf where none up
      to 10,000 does.
    gamma_of_interval: likewise of the interval; 1 where there is no conclusion to undo.
  """

  gamma: float
  gamma_of_interval: float


def effect(
  reward: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  other: ArrayLike | None = None,
  *,
  cluster: ArrayLike | None = None,
  level: float = 0.95,
) -> Effect:
  """The average effect on a reward of one policy, or item, in place of another.

  Args:
    reward: [n].
    pscore: [n] recorded propensity of the logged action, in (0, 1].
    target: [n] probability of the logged action under the first policy.
    other: [n] under the second one; None is the policy that logged, worth the mean reward whatever
      confounds it.
    cluster: [n] which rounds depend on each other, such as those of a user; if not given, none do.
    level: probability that the interval covers if nothing is confounded.

  Returns:
    The difference of the self-normalised estimates, and the confounding that would undo it.

  Raises:
    InputError: bad input, one line that names the row.
  """

  def bounds(gamma: float) -> Bounds:
    return effect_bounds(reward, pscore, target, other, gamma=gamma, cluster=cluster, level=level)

  def holds_zero(gamma: float) -> bool:
    found = bounds(gamma)
    return not (found.least.value > 0 or found.most.value < 0)

  def interval_holds_zero(gamma: float) -> bool:
    found = bounds(gamma)
    # An end that is not known, of a single round, leaves no conclusion.
    return not (found.least.low > 0 or found.most.high < 0)

  plain = dataclasses.asdict(bounds(1.0).least)
  return Effect(
    **plain, gamma=_smallest(holds_zero), gamma_of_interval=_smallest(interval_holds_zero)
  )


def effect_bounds(
  reward: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  other: ArrayLike | None = None,
  *,
  gamma: float,
  cluster: ArrayLike | None = None,
  level: float = 0.95,
) -> Bounds:
  """The extremes of an effect under confounding of at most `gamma`, other arguments as in `effect`.

  Exact against the policy that logged, and for two items, which have no row in common. Two policies
  with common rows are bounded apart, which is never too narrow. Intervals are those of the delta
  method with the extreme weights held: as these are optimal, changing them has no effect of first
  order.
  """
  reward, pscore = np.asarray(reward, np.float64), np.asarray(pscore, np.float64)
  if not gamma >= 1:
    raise InputError(f'gamma: {gamma:g} is below 1, which is no confounding at all')
  for name, column in {'pscore': pscore, 'target': target, 'other': other}.items():
    if column is not None and np.shape(column) != reward.shape:
      raise InputError(f'{name} is {list(np.shape(column))} and reward {list(reward.shape)}')
  check_finite('reward', reward, 'leave the row out or give its reward')
  check_propensities(pscore)
  values = [_extremes('target', reward, pscore, target, gamma)]
  values += [
    (reward, reward) if other is None else _extremes('other', reward, pscore, other, gamma)
  ]
  (low, high), (other_low, other_high) = values
  worst, best = (
    t_interval(_summed(change, cluster), level=level)
    for change in (low - other_high, high - other_low)
  )
  return Bounds(worst, best)


def _extremes(
  name: str, reward: np.ndarray, pscore: np.ndarray, target: ArrayLike, gamma: float
) -> tuple[np.ndarray, np.ndarray]:
  """([n], [n]) influence values of the least and of the largest estimate of a policy's value."""
  target = np.asarray(target, np.float64)
  if not (target >= 0).all():
    row = int(np.argmax(~(target >= 0)))
    raise InputError(f'{name}, row {row}: {target[row]:g} is not a probability')
  if not target.any():
    raise InputError(f'{name}: 0 in every row, from row 0 on: the log never takes its actions')
  odds = 1 / pscore - 1
  least, most = target * (1 + odds / gamma), target * (1 + odds * gamma)
  low, high = (_linearised(reward, _maximising(sign * reward, least, most)) for sign in (-1.0, 1.0))
  return low, high


def _maximising(values: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
  """[n] weights between `least` and `most` with the largest weighted mean of `values`."""
  order = np.argsort(-values, kind='stable')
  value, low, high = values[order], least[order], most[order]

  def totals(factor: np.ndarray | float) -> np.ndarray:
    """[n + 1] sums of weight * factor with the largest weights on the first 0, 1, ... n rows."""
    return (low * factor).sum() + np.concatenate([[0.0], np.cumsum((high - low) * factor)])

  num_high = int(np.argmax(totals(value) / totals(1.0)))
  weight = low.copy()
  weight[:num_high] = high[:num_high]
  result = np.empty_like(weight)
  result[order] = weight
  return result


def _linearised(reward: np.ndarray, weight: np.ndarray) -> np.ndarray:
  """[n] values whose mean is the weighted mean, and whose spread is its error times sqrt(n)."""
  mean = weight @ reward / weight.sum()
  return mean + weight * (reward - mean) / weight.mean()


def _summed(values: np.ndarray, cluster: ArrayLike | None) -> np.ndarray:
  """[G] a value a cluster, of the same mean, whose spread is that of sums over clusters."""
  if cluster is None:
    return values
  group = np.unique(cluster, return_inverse=True)[1]
  mean, num_groups = values.mean(), group.max() + 1
  return mean + np.bincount(group, values - mean) * num_groups / len(values)


def _smallest(holds: Callable[[float], bool]) -> float:
  """The smallest gamma of which `holds` is true; it stays true from there on."""
  if holds(1.0):
    return 1.0
  if not holds(LARGEST_GAMMA):
    return np.inf
  low, high = 0.0, np.log(LARGEST_GAMMA)
  for _ in range(BISECTIONS):
    middle = (low + high) / 2
    low, high = (low, middle) if holds(np.exp(middle)) else (middle, high)
  return float(np.exp(high))
