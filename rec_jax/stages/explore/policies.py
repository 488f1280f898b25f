"""The policies that the stage `explore` compares, and how their settings are tuned."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from rec_jax import bandits
from rec_jax.bandits import item_prior
from rec_jax.bandits.base import Policy
from rec_jax.environments.rollout import Trajectory, rollout, side_by_side
from rec_jax.stages.explore import rollout_metrics
from rec_jax.stages.explore.worlds import World

# Numbers, and of priors arrays.
Hyperparameters = dict[str, Any]

_PRECISIONS = (10.0, 20.0, 40.0, 80.0)


@dataclasses.dataclass(frozen=True)
class PolicyEntry:
  """A policy in the comparison.

  Attributes:
    label: in tables and figures.
    name: in the registry.
    grid: values of each tuned setting; empty where there is nothing to tune.
    strength: the setting that sets how much is explored, '' without one.
    frontier: values of the strength along the frontier.
    needs_query: whether it reads the user tower.
  """

  label: str
  name: str
  grid: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
  strength: str = ''
  frontier: tuple[float, ...] = ()
  needs_query: bool = False


_UCB = {'lambda_': _PRECISIONS, 'alpha': (0.1, 0.3, 1.0)}
_THOMPSON = {'lambda_': _PRECISIONS, 'scale': (0.05, 0.15, 0.5)}

UNIFORM = PolicyEntry('uniform', 'uniform')
PER_USER_GREEDY = PolicyEntry(
  'linear greedy, per user', 'per_user_lin_greedy', {'lambda_': _PRECISIONS}
)
PER_USER_UCB = PolicyEntry(
  'LinUCB, per user',
  'per_user_lin_ucb',
  _UCB,
  'alpha',
  (0.03, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0),
)
PER_USER_THOMPSON = PolicyEntry(
  'linear Thompson, per user',
  'per_user_lin_ts',
  _THOMPSON,
  'scale',
  (0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.65, 1.0),
)
SHARED_UCB = PolicyEntry('LinUCB, shared', 'popularity_lin_ucb', _UCB, 'alpha')
SHARED_THOMPSON = PolicyEntry('linear Thompson, shared', 'popularity_lin_ts', _THOMPSON, 'scale')
EPSILON_GREEDY = PolicyEntry(
  'epsilon-greedy, decaying', 'epsilon_greedy', {'epsilon': (0.02, 0.1, 0.3)}, 'epsilon'
)
MODEL_GREEDY = PolicyEntry('model greedy', 'two_tower_greedy', needs_query=True)
COLD_START = (SHARED_THOMPSON, PER_USER_GREEDY, PER_USER_UCB, PER_USER_THOMPSON)


def baseline(world: World) -> PolicyEntry:
  """Exploits the mean reward of each item, which is learnt on."""
  return PolicyEntry(world.baseline, 'popularity_greedy')


def comparison(world: World) -> tuple[PolicyEntry, ...]:
  """All policies of the main comparison, the baseline second."""
  return (
    UNIFORM,
    baseline(world),
    MODEL_GREEDY,
    EPSILON_GREEDY,
    SHARED_UCB,
    SHARED_THOMPSON,
    PER_USER_GREEDY,
    PER_USER_UCB,
    PER_USER_THOMPSON,
  )


def run(
  entry: PolicyEntry,
  world: World,
  settings: list[Hyperparameters],
  num_seeds: int,
  seed: int,
  memory_bound: float,
  **options: Any,
) -> Trajectory:
  """Rolls a policy out under each of the settings; a leading axis [len(settings) * num_seeds].

  All settings meet the same seeds, so that they are compared on equal chances.
  """
  told = [with_prior(entry, world, setting) for setting in settings]
  keys, table = side_by_side(jax.random.key(seed), num_seeds, told)
  make = factory(entry, world)
  return rollout(
    keys,
    make if table else make({}),
    world.environment,
    world.data,
    world.spec,
    options.pop('num_rounds', world.num_rounds),
    settings=table or None,
    memory_bound=memory_bound,
    **options,
  )


def tune(
  entry: PolicyEntry, world: World, num_seeds: int, seed: int, memory_bound: float
) -> tuple[Hyperparameters, float]:
  """The setting of the grid that spreads exposure most at no clear cost, and its reward.

  By the one-standard-error rule (Breiman et al. 1984, section 3.4.3): among the settings whose mean
  reward a visit is within one standard error (over users) of the best, the one that gives most
  items ten exposures.
  """
  names = list(entry.grid)
  grid = [dict(zip(names, point, strict=True)) for point in itertools.product(*entry.grid.values())]
  trajectory = run(entry, world, grid, num_seeds, seed, memory_bound)
  parts = rollout_metrics.split(trajectory, len(grid))
  by_user = np.stack([rollout_metrics.per_user(world, part.reward).mean(0) for part in parts])
  reward = by_user.mean(1)
  best = int(np.argmax(reward))
  standard_error = by_user[best].std() / np.sqrt(by_user.shape[1])
  spread = [rollout_metrics.items_with_ten_exposures(world, part).mean() for part in parts]
  chosen = max(
    np.flatnonzero(reward >= reward[best] - standard_error), key=lambda i: (spread[i], reward[i])
  )
  return grid[chosen], float(reward[chosen])


def with_prior(entry: PolicyEntry, world: World, setting: Hyperparameters) -> Hyperparameters:
  """A setting, and what the policy believes of the items of a world, where it has such a prior."""
  known = bandits.hyperparameters(entry.name)
  prior: dict[str, Any] = {'a0': world.a0, 'b0': world.b0}
  if 'item_variance' in known:
    lambda_ = setting.get('lambda_', known['lambda_'])
    prior |= item_prior.doubt(world.data.features, world.num_events, lambda_)
  return setting | {name: value for name, value in prior.items() if name in known}


def factory(entry: PolicyEntry, world: World) -> Callable[[Hyperparameters], Policy]:
  """Settings `with_prior` to the policy.

  The same one for all worlds of as many rounds: rollouts of it are compiled once for each shape.
  """
  return _factory(entry.name, world.num_rounds if entry is EPSILON_GREEDY else 0)


def policy(entry: PolicyEntry, world: World, setting: Hyperparameters) -> Policy:
  """The policy of one setting in a world."""
  return factory(entry, world)(with_prior(entry, world, setting))


@functools.cache
def _factory(name: str, num_rounds: int) -> Callable[[Hyperparameters], Policy]:
  """With rounds `epsilon` decays over them."""
  noise = {'noise_variance': item_prior.NOISE_VARIANCE}
  fixed = noise if 'noise_variance' in bandits.hyperparameters(name) else {}

  def make(settings: Hyperparameters) -> Policy:
    values = dict(settings)
    if num_rounds and 'epsilon' in values:
      values['epsilon'] = _decaying(values['epsilon'], num_rounds)
    return bandits.make(name, **(fixed | values))

  return make


def _decaying(epsilon: Any, num_rounds: int) -> optax.Schedule:
  """Halves the share of exploration in every eighth of the stream."""
  return optax.exponential_decay(epsilon, max(1, num_rounds // 8), 0.5)


def first(entry: PolicyEntry) -> Hyperparameters:
  """The first setting of the grid, for worlds on which nothing is tuned."""
  return {name: values[0] for name, values in entry.grid.items()}
