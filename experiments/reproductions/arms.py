"""Regret of a policy on independent arms with rewards of 0 and 1."""

from collections.abc import Sequence

import jax
import numpy as np

from rec_jax import bandits
from rec_jax.environments.rollout import rollout
from rec_jax.evaluation.regret import cumulative_regret
from rec_jax.runs.study import Values
from rec_jax.studies.sweep import worlds
from rec_jax.studies.sweep.config import KArmedConfig


def regrets(
  seed: int,
  means: Sequence[float] | int,
  num_rounds: int,
  num_runs: int,
  policy: str,
  **setting: float,
) -> Values:
  """Cumulative expected regret after the last round; the run is the unit.

  Args:
    seed: of the runs.
    means: [K] in [0, 1], or K: each run draws its own evenly from [0, 1].
    num_rounds: T.
    num_runs: S, side by side.
    policy: a name of the registry.
    **setting: its hyperparameters.
  """
  if isinstance(means, int):
    config = KArmedConfig(num_arms=means)
  else:
    config = KArmedConfig(means=','.join(f'{mean:.9g}' for mean in means))
  world = worlds.build(config)
  keys = jax.random.split(jax.random.key(seed), num_runs)
  made = bandits.make(policy, **setting)
  metrics = rollout(keys, made, world.environment, world.data, world.spec, num_rounds).metrics
  chosen, best = (x[:, :, 0, 0] for x in (metrics.expected_reward, metrics.best_expected_reward))
  return Values(cumulative_regret(chosen, best)[:, -1], np.arange(num_runs))
