"""What one policy earns more than another, and how much hidden confounding could undo that.

The effect is the paired difference of doubly robust estimates, or of self-normalised ones where
there is no model of the reward.

A log by a person or by a system that is known in part only may depend on what also moves rewards,
and then its propensities are those given the recorded context, not the true ones. The marginal
sensitivity model (Tan 2006) lets the odds of the logged action differ from the recorded ones by a
factor of at most gamma either way. The bounds are those of Dorn & Guo (2022): weights must also
give back what the recorded propensities say of the context, so they are never wider than those of
Zhao, Small & Bhattacharya (2019), which let go of this. With the check loss of gamma,

  loss(u) = (gamma - 1) u for u > 0, (1 / gamma - 1) u for u < 0,

a policy's value is at most its estimate plus the mean of weight (1 - p) loss(r - Q), for any
threshold Q that depends on context and action alone (Dorn, Guo & Kallus 2024, theorem 1). The bound
is the least one, sharp, where Q is the quantile gamma / (1 + gamma) of the reward given both. Of a
model of rewards that take two values it is known; else the best Q is taken of a constant and of
the model plus a constant, so that a wrong model gives bounds that are valid but wide.

A policy is its probability of each logged action, [n]; an item is the policy that always shows it:
`(action == item).astype(float)`. Everything is float64 on the host.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.optimize
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.evaluation.off_policy.validation import check_finite, check_level, check_propensities
from rec_jax.types import InputError

# Confounding beyond this is as good as any.
LARGEST_GAMMA = 1e4
# Of the logarithm of gamma.
XTOL = 1e-5


class Model(NamedTuple):
  """What a model of the reward that was not fitted on the same rows expects, [n] each.

  Attributes:
    logged: of the logged action.
    policy: of the policy.
  """

  logged: ArrayLike
  policy: ArrayLike


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
  model: Model | None = None,
  other_model: Model | None = None,
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
    model: of the reward, for the first policy; without it estimates are self-normalised.
    other_model: likewise for the second one.
    cluster: [n] which rounds depend on each other, such as those of a user; if not given, none do.
    level: probability that the interval covers if nothing is confounded.

  Returns:
    The paired difference of the estimates with the interval `corrected_t`, and the
    confounding that would undo it.

  Raises:
    InputError: bad input, one line that names the row.
  """
  bound = _bound_of(reward, pscore, target, other, model, other_model, cluster, level)
  plain = bound(-1.0, 1.0)
  # What has to come to 0 is the bound on the other side of it.
  sign = 1.0 if plain.value < 0 else -1.0

  def value(gamma: float) -> float:
    return -sign * bound(sign, gamma).value

  def end(gamma: float) -> float:
    found = bound(sign, gamma)
    return -found.high if sign > 0 else found.low

  return Effect(
    **dataclasses.asdict(plain), gamma=_smallest(value), gamma_of_interval=_smallest(end)
  )


def effect_bounds(
  reward: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  other: ArrayLike | None = None,
  *,
  gamma: float,
  model: Model | None = None,
  other_model: Model | None = None,
  cluster: ArrayLike | None = None,
  level: float = 0.95,
) -> Bounds:
  """The extremes of an effect under confounding of at most `gamma`, other arguments as in `effect`.

  What two policies have in common is confounded alike and cancels. Intervals are those of the delta
  method with the thresholds held: as these are optimal, changing them has no effect of first order.
  """
  if not gamma >= 1:
    raise InputError(f'gamma: {gamma:g} is below 1, which is no confounding at all')
  bound = _bound_of(reward, pscore, target, other, model, other_model, cluster, level)
  return Bounds(bound(-1.0, gamma), bound(1.0, gamma))


def _bound_of(
  reward: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  other: ArrayLike | None,
  model: Model | None,
  other_model: Model | None,
  cluster: ArrayLike | None,
  level: float,
) -> Callable[[float, float], Estimate]:
  """(sign, gamma) -> the largest effect under that gamma, or the least where the sign is -1."""
  reward, pscore = np.asarray(reward, np.float64), np.asarray(pscore, np.float64)
  if (other_model is not None) != (model is not None and other is not None):
    raise InputError('other_model: goes with model and other; give it with both, or not at all')
  columns: dict[str, ArrayLike | None] = {'pscore': pscore, 'target': target, 'other': other}
  for name, given in {'model': model, 'other_model': other_model}.items():
    if given is not None:
      columns |= {f'{name}.{part}': column for part, column in given._asdict().items()}
  for name, column in columns.items():
    if column is not None and np.shape(column) != reward.shape:
      raise InputError(f'{name} is {list(np.shape(column))} and reward {list(reward.shape)}')
  check_finite('reward', reward, 'leave the row out or give its reward')
  check_propensities(pscore)
  check_level(level)
  net = total = _weight('target', target, pscore)
  change = _estimate(reward, net, model)
  if other is None:
    change = change - reward
  else:
    second = _weight('other', other, pscore)
    change = change - _estimate(reward, second, other_model)
    net, total = net - second, (net + second) / 2

  def bound(sign: float, gamma: float) -> Estimate:
    added = np.zeros_like(reward)
    # Where the second policy weighs more, what its reward loses is what the effect gains.
    for side, known in ((1.0, model), (-1.0, other_model)):
      rows = side * net > 0
      if rows.any():
        weight = np.abs(net[rows]) * (1 - pscore[rows])
        expected = None if known is None else sign * side * np.asarray(known.logged)[rows]
        added[rows] = weight * _least_loss(sign * side * reward[rows], expected, weight, gamma)
    change_at_gamma = change + sign * _ratio(added, total)
    return corrected_t(summed(change_at_gamma, cluster), level=level)

  return bound


def _weight(name: str, target: ArrayLike, pscore: np.ndarray) -> np.ndarray:
  target = np.asarray(target, np.float64)
  if not (target >= 0).all():
    row = int(np.argmax(~(target >= 0)))
    raise InputError(f'{name}, row {row}: {target[row]:g} is not a probability')
  if not target.any():
    raise InputError(f'{name}: 0 in every row, from row 0 on: the log never takes its actions')
  return target / pscore


def _estimate(reward: np.ndarray, weight: np.ndarray, model: Model | None) -> np.ndarray:
  """[n] influence values of a policy's value: doubly robust, or self-normalised without a model."""
  if model is None:
    return _ratio(weight * reward, weight)
  return np.asarray(model.policy, np.float64) + weight * (reward - np.asarray(model.logged))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
  """[n] values whose mean is the ratio of means, and whose spread is its error times sqrt(n)."""
  scale = denominator.mean()
  ratio = numerator.mean() / scale
  return ratio + (numerator - ratio * denominator) / scale


def _least_loss(
  outcome: np.ndarray, model: np.ndarray | None, weight: np.ndarray, gamma: float
) -> np.ndarray:
  """[m] the loss of each row, at the thresholds of those tried that make its weighted sum least."""
  low, high = outcome.min(), outcome.max()
  thresholds: list[np.ndarray | float]
  if ((outcome == low) | (outcome == high)).all():
    thresholds = [low, high]
    if model is not None:
      likely = model - low > (high - low) / (1 + gamma)
      thresholds.append(np.where(likely, high, low))
  else:
    thresholds = [
      base + _quantile(outcome - base, weight, gamma / (1 + gamma))
      for base in (0.0, *(() if model is None else (model,)))
    ]
  above = [outcome - threshold for threshold in thresholds]
  losses = [np.where(u > 0, gamma - 1, 1 / gamma - 1) * u for u in above]
  return min(losses, key=lambda loss: float(weight @ loss))


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
  """The value below which that share of the weight lies."""
  order = np.argsort(values)
  below = np.cumsum(weight[order])
  place = np.searchsorted(below, share * below[-1])
  return float(values[order[min(place, len(values) - 1)]])


def _smallest(excess: Callable[[float], float]) -> float:
  """The smallest gamma at which the excess over 0 is none; it falls in gamma."""
  # An end that is not known, of a single round, leaves no conclusion.
  if not excess(1.0) > 0:
    return 1.0
  if excess(LARGEST_GAMMA) > 0:
    return np.inf
  return float(
    np.exp(scipy.optimize.brentq(lambda x: excess(np.exp(x)), 0, np.log(LARGEST_GAMMA), xtol=XTOL))
  )
