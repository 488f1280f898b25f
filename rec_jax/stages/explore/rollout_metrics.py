"""What became of a rollout: numbers with intervals and curves, for the tables and the figures."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from scipy import sparse

from rec_jax.environments.rollout import Trajectory
from rec_jax.evaluation import intervals, regret, two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.stages.explore.worlds import World

# Rounds at which curves are kept.
_CURVE_POINTS = 80


@dataclasses.dataclass(frozen=True)
class Outcome:
  """One policy with one setting under S seeds.

  Attributes:
    reward: [S, T].
    best: [S, T], reward of the best candidate of the round.
    arm: [S, T] int, -1 where nothing was shown.
  """

  reward: np.ndarray
  best: np.ndarray
  arm: np.ndarray


def split(trajectory: Trajectory, num_settings: int) -> list[Outcome]:
  """The outcome of each setting of a rollout of slates of one item."""
  metrics = trajectory.metrics
  columns = [
    np.asarray(x)[:, :, 0, 0]
    for x in (metrics.reward, metrics.best_expected_reward, metrics.arm_id)
  ]
  parts = [np.array_split(column, num_settings) for column in columns]
  return [Outcome(*part) for part in zip(*parts, strict=True)]


def per_user(world: World, values: np.ndarray) -> np.ndarray:
  """[S, U], the mean of values [S, T] over the visits of each user."""
  visits = np.asarray(world.data.visits)
  count = np.bincount(visits)
  order = np.argsort(visits, kind='stable')
  starts = np.concatenate([[0], np.cumsum(count)[:-1]])
  return np.add.reduceat(values[:, order].astype(np.float64), starts, axis=1) / count


def items_with_ten_exposures(world: World, outcome: Outcome) -> np.ndarray:
  """[S], items that were shown at least ten times."""
  return (_exposures(outcome.arm, len(world.is_cold)) >= 10).sum(1)


def describe(world: World, outcome: Outcome, seed: int) -> dict[str, Any]:
  """Every number that is reported of a policy, as JSON.

  Means are of users, with bootstrap intervals over users, of cold items over users and items;
  counts of items are of seeds, with Student's interval over seeds, which is absent where all seeds
  agree. Of new users and of cold items nothing is said where there are none.
  """
  values = {
    'reward': outcome.reward,
    'regret': outcome.best - outcome.reward,
  }
  users = {name: per_user(world, value) for name, value in values.items()}
  key = jax.random.key(seed)
  described = intervals.user_means(key, users)
  described |= _cold_share(world, outcome, np.ones(outcome.arm.shape[1], bool), '', key)
  described |= _counts(outcome.arm, len(world.is_cold), '')
  if world.is_new.any():
    fresh = {
      f'{name}_new_users': users[name][:, world.is_new] for name in users if name != 'regret'
    }
    described |= intervals.user_means(key, fresh)
    visits_of_new = world.is_new[np.asarray(world.data.visits)]
    described |= _cold_share(world, outcome, visits_of_new, '_new_users', key)
    described |= _counts(outcome.arm[:, visits_of_new], len(world.is_cold), '_new_users')
  return {name: intervals.to_json(estimate) for name, estimate in described.items()} | {
    'curve': _curves(outcome),
    'user_reward': users['reward'].mean(0).tolist(),
  }


def paired(policy: dict[str, Any], baseline: dict[str, Any], seed: int) -> dict[str, Any]:
  """The difference of rewards, paired by user."""
  difference = intervals.paired_difference(
    jax.random.key(seed), np.array(policy['user_reward']), np.array(baseline['user_reward'])
  )
  return intervals.to_json(difference)


def _cold_share(
  world: World, outcome: Outcome, visits: np.ndarray, suffix: str, key: jax.Array
) -> dict[str, Estimate]:
  """Of the visits [T] that are chosen, the share at which cold items were shown, by user.

  Where a policy shows few items, others might have been cold: the interval is two-way.
  """
  if not world.is_cold.any():
    return {}
  arm = outcome.arm[:, visits]
  users = np.unique(np.asarray(world.data.visits)[visits], return_inverse=True)[1]
  # Where nothing was shown, an item behind all others that is not cold stands for it.
  number = len(world.is_cold)
  item = np.where(arm < 0, number, arm).ravel()
  ones, shape = np.ones(arm.size), (users.max() + 1, number + 1)
  exposure = sparse.coo_array((ones, (np.tile(users, len(arm)), item)), shape).tocsr()
  share = two_way.exposure_share(key, exposure, np.append(world.is_cold, False))
  return {f'cold_share{suffix}': share}


def _counts(arm: np.ndarray, num_items: int, suffix: str) -> dict[str, Estimate]:
  """Distinct items, and items with at least 10 exposures."""
  exposures = _exposures(arm, num_items)
  return {
    f'distinct_items{suffix}': _over_seeds((exposures > 0).sum(1)),
    f'items_10_exposures{suffix}': _over_seeds((exposures >= 10).sum(1)),
  }


def _exposures(arm: np.ndarray, num_items: int) -> np.ndarray:
  """[S, N], how often each item was shown."""
  return np.stack([np.bincount(row[row >= 0], minlength=num_items) for row in arm])


def _over_seeds(values: np.ndarray) -> Estimate:
  if np.ptp(values) == 0:
    return Estimate(float(values[0]), math.nan, math.nan, len(values))
  return intervals.t_interval(values)


def _curves(outcome: Outcome) -> dict[str, Any]:
  """Mean reward and cumulative regret up to some rounds, with bands over seeds."""
  num_rounds = outcome.reward.shape[1]
  rounds = np.unique(np.linspace(1, num_rounds, _CURVE_POINTS).round().astype(int))
  curves = {
    'reward': regret.average_reward(outcome.reward),
    'regret': regret.cumulative_regret(outcome.reward, outcome.best),
  }
  bands = {name: regret.band(curve[:, rounds - 1]) for name, curve in curves.items()}
  return {'round': rounds.tolist()} | {
    name: {
      end: [float(x) if math.isfinite(x) else None for x in getattr(band, end)]
      for end in ('value', 'low', 'high')
    }
    for name, band in bands.items()
  }
