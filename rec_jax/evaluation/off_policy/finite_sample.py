"""Intervals that hold for any number of rounds, given what a round may add to an estimate."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds, Terms, influence
from rec_jax.types import InputError

RANGED = {
  'hoeffding': intervals.hoeffding,
  'bernstein': intervals.empirical_bernstein,
  'betting': intervals.betting,
}
# The one that needs no largest weight, and exists for estimators without a model alone.
SEQUENCE = 'sequence'
INTERVALS = (*RANGED, SEQUENCE)
# Points of a grid over weights, and how often it is narrowed to the two beside the best of them.
PROBES, ZOOMS = 1_001, 4


def finite_sample(
  interval: str,
  estimator: Estimator,
  rounds: Rounds,
  *,
  reward_range: tuple[float, float],
  max_weight: float,
  level: float,
) -> Estimate:
  """An interval of `INTERVALS` for the mean of an estimator.

  Args:
    interval: its name.
    estimator: of which the range of what a round may add is found from `max_weight`.
    rounds: [n], from `match`.
    reward_range: least and largest possible reward, and expectation of the model.
    max_weight: largest possible importance weight; 'sequence' does without.
    level: probability of covering.

  Returns:
    The estimate; its ends are NaN for the self-normalised, which are no means, and for those with a
    model where the interval is 'sequence'.

  Raises:
    InputError: a reward or a weight out of its range, one line that names the row.
  """
  weight = np.asarray(rounds.weight)
  _check_rewards(rounds, reward_range)
  if interval == SEQUENCE:
    return _sequence(estimator, rounds, reward_range, level)
  if weight.max() > max_weight * (1 + 1e-6):
    row = int(np.argmax(weight))
    raise InputError(f'row {row}: weight {weight[row]:.6g} is above max_weight {max_weight:g}')
  terms = estimator(rounds)
  terms = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), terms)
  values = np.asarray(influence(terms))
  if not (terms.normaliser == 1).all():
    return Estimate(float(values.mean()), np.nan, np.nan, values.size)
  low, high = _support(estimator, terms, rounds, reward_range, max_weight)
  return RANGED[interval](values, low, high, level=level)


def uses_model(estimator: Estimator) -> bool:
  """Whether what a model expects enters the estimate."""
  return bool(np.any(np.asarray(_of_ones(estimator, np.ones(1)).direct)))


def _check_rewards(rounds: Rounds, reward_range: tuple[float, float]) -> None:
  least, largest = reward_range
  outside = (np.asarray(rounds.reward) < least) | (np.asarray(rounds.reward) > largest)
  if outside.any():
    row = int(np.argmax(outside))
    raise InputError(
      f'reward, row {row}: {rounds.reward[row]:g} is not in reward_range ({least:g}, {largest:g})'
    )


def _sequence(
  estimator: Estimator, rounds: Rounds, reward_range: tuple[float, float], level: float
) -> Estimate:
  ones = jnp.ones_like(rounds.reward)
  kept = estimator(dataclasses.replace(rounds, reward=ones, q_logged=0 * ones, q_target=0 * ones))
  if uses_model(estimator) or not bool(jnp.all(kept.normaliser == 1)):
    value = np.asarray(influence(estimator(rounds)), np.float64)
    return Estimate(float(value.mean()), np.nan, np.nan, value.size)
  return intervals.sequence(kept.correction, rounds.reward, *reward_range, level=level)


def _support(
  estimator: Estimator,
  terms: Terms,
  rounds: Rounds,
  reward_range: tuple[float, float],
  max_weight: float,
) -> tuple[float, float]:
  """Least and largest of what a round may add, models being within the range of rewards."""
  least, largest = reward_range
  weight = _largest_kept(estimator, max_weight)
  if not uses_model(estimator):
    return min(0.0, weight * least), max(0.0, weight * largest)
  model = np.concatenate([np.asarray(rounds.q_logged), np.asarray(rounds.q_target), reward_range])
  bottom, top = float(model.min()), float(model.max())
  return bottom + weight * min(least - top, 0.0), top + weight * max(largest - bottom, 0.0)


def _largest_kept(estimator: Estimator, max_weight: float) -> float:
  """The most that clipping, switching or shrinkage leaves of any weight up to the largest.

  What is kept of a weight rises up to some weight and falls, or stays, from there on, and that
  weight may be of any order: a grid over all orders is followed by finer ones around its best.
  """
  grid = np.append(0.0, np.geomspace(1e-15, 1.0, PROBES)) * max_weight
  most = 0.0
  for _ in range(ZOOMS):
    kept = np.asarray(_of_ones(estimator, grid).correction)
    best = int(np.argmax(kept))
    most = max(most, float(kept[best]))
    grid = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)], PROBES)
  return most


def _of_ones(estimator: Estimator, weight: np.ndarray) -> Terms:
  """Terms of rewards of 1, of which a model expects 1 of the policy and 0 of logged actions."""
  ones, zeros = jnp.ones(len(weight)), jnp.zeros(len(weight))
  given = jnp.asarray(weight)
  rounds = Rounds(ones, given, zeros, q_logged=zeros, q_target=ones)
  return estimator(dataclasses.replace(rounds, marginal=given, selected=given, convolved=given))
