"""The policies that the stage `explore` compares, and how their settings are tuned."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rec_jax import bandits
from rec_jax.bandits.base import Policy
from rec_jax.environments.rollout import Trajectory, rollout
from rec_jax.stages.problems import Problem

Settings = Mapping[str, float]

# Rewards are 0 or 1 with a mean of some 0.3: their variance is about 0.2. Only the product with
# the prior precision matters to the mean, so that one is tuned and this one is not.
NOISE_VARIANCE = 0.2
_PRECISIONS = (10.0, 20.0, 40.0, 80.0)


@dataclasses.dataclass(frozen=True)
class Candidate:
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

UNIFORM = Candidate('uniform', 'uniform')
PER_USER_GREEDY = Candidate(
  'linear greedy, per user', 'per_user_lin_greedy', {'lambda_': _PRECISIONS}
)
PER_USER_UCB = Candidate(
  'LinUCB, per user',
  'per_user_lin_ucb',
  _UCB,
  'alpha',
  (0.03, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0),
)
PER_USER_THOMPSON = Candidate(
  'linear Thompson, per user',
  'per_user_lin_ts',
  _THOMPSON,
  'scale',
  (0.02, 0.05, 0.1, 0.15, 0.25, 0.4, 0.65, 1.0),
)
SHARED_UCB = Candidate('LinUCB, shared', 'popularity_lin_ucb', _UCB, 'alpha')
SHARED_THOMPSON = Candidate('linear Thompson, shared', 'popularity_lin_ts', _THOMPSON, 'scale')
EPSILON_GREEDY = Candidate(
  'epsilon-greedy, decaying', 'epsilon_greedy', {'epsilon': (0.02, 0.1, 0.3)}, 'epsilon'
)
MODEL_GREEDY = Candidate('model greedy', 'two_tower_greedy', needs_query=True)
FRONTIERS = (PER_USER_UCB, PER_USER_THOMPSON)
COLD_START = (SHARED_THOMPSON, PER_USER_GREEDY, PER_USER_UCB, PER_USER_THOMPSON)


def baseline(problem: Problem) -> Candidate:
  """Exploits the mean reward of each item, which is learnt on."""
  return Candidate(problem.baseline, 'popularity_greedy')


def comparison(problem: Problem) -> tuple[Candidate, ...]:
  """All policies of the main comparison, the baseline second."""
  return (
    UNIFORM,
    baseline(problem),
    MODEL_GREEDY,
    EPSILON_GREEDY,
    SHARED_UCB,
    SHARED_THOMPSON,
    PER_USER_GREEDY,
    PER_USER_UCB,
    PER_USER_THOMPSON,
  )


def run(
  candidate: Candidate,
  problem: Problem,
  settings: list[Settings],
  num_seeds: int,
  seed: int,
  memory_bound: float,
  **options: Any,
) -> Trajectory:
  """Rolls a policy out under each of the settings; a leading axis [len(settings) * num_seeds].

  All settings meet the same seeds, so that they are compared on equal chances.
  """
  keys = jax.random.split(jax.random.key(seed), num_seeds)
  table = {
    name: jnp.repeat(jnp.array([setting[name] for setting in settings]), num_seeds)
    for name in settings[0]
  }
  return rollout(
    jnp.tile(keys, len(settings)),
    _factory(candidate, problem) if table else _factory(candidate, problem)({}),
    problem.environment,
    problem.data,
    problem.spec,
    options.pop('num_rounds', problem.num_rounds),
    settings=table or None,
    memory_bound=memory_bound,
    **options,
  )


def tune(
  candidate: Candidate, problem: Problem, num_seeds: int, seed: int, memory_bound: float
) -> tuple[Settings, float]:
  """The settings of the grid with the highest mean reward a visit, and that reward."""
  if not candidate.grid:
    return {}, float('nan')
  names = list(candidate.grid)
  axes = np.meshgrid(*candidate.grid.values(), indexing='ij')
  grid = [
    dict(zip(names, (float(v) for v in point), strict=True))
    for point in zip(*(axis.ravel() for axis in axes), strict=True)
  ]
  trajectory = run(candidate, problem, grid, num_seeds, seed, memory_bound)
  reward = np.asarray(trajectory.metrics.reward).reshape(len(grid), -1).mean(1)
  best = int(np.argmax(reward))
  return grid[best], float(reward[best])


def _factory(candidate: Candidate, problem: Problem) -> Callable[[Settings], Policy]:
  """Settings to the policy, with the prior of the problem where the policy has one."""
  known = bandits.hyperparameters(candidate.name)
  fixed = {'a0': problem.a0, 'b0': problem.b0, 'noise_variance': NOISE_VARIANCE}
  fixed = {name: value for name, value in fixed.items() if name in known}

  def factory(settings: Settings) -> Policy:
    values = dict(settings)
    if candidate is EPSILON_GREEDY and 'epsilon' in values:
      values['epsilon'] = _decaying(values['epsilon'], problem.num_rounds)
    return bandits.make(candidate.name, **fixed, **values)

  return factory


def _decaying(epsilon: Any, num_rounds: int) -> optax.Schedule:
  """Halves the share of exploration in every eighth of the stream."""
  return optax.exponential_decay(epsilon, max(1, num_rounds // 8), 0.5)


def first(candidate: Candidate) -> Settings:
  """The first setting of the grid, for problems on which nothing is tuned."""
  return {name: values[0] for name, values in candidate.grid.items()}
