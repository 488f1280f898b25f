"""The log of an exploring policy as Parquet: one row a decision, with its propensity."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_jax.stages import policies
from rec_jax.stages.config import Config
from rec_jax.stages.policies import Candidate, Settings
from rec_jax.stages.prepare import Dataset
from rec_jax.stages.problems import Problem

LOGGED = Candidate('epsilon-greedy, per user', 'per_user_lin_epsilon_greedy')


def write(
  path: Path, config: Config, problem: Problem, chosen: dict[str, Settings], dataset: Dataset
) -> dict[str, Any]:
  """Rolls one exploring policy out and writes what it logged.

  Columns: round, user_id and item_id (of the source), num_candidates, propensity (exact), reward.

  Args:
    path: of the file.
    config: of the run; `explore.log_epsilon` is the share of uniform exploration.
    problem: the rated candidates.
    chosen: tuned settings, of which the precision of the greedy policy is used.
    dataset: whose ids are written.

  Returns:
    What was logged, as JSON.
  """
  epsilon = config.explore.log_epsilon
  setting = dict(chosen[policies.PER_USER_GREEDY.label]) | {'epsilon': epsilon}
  trajectory = policies.run(
    LOGGED, problem, [setting], 1, config.seed, config.explore.memory_bound, record_log=True
  )
  user, arm, reward, propensity = (
    np.asarray(column)[0].reshape(problem.num_rounds)
    for column in (
      trajectory.metrics.user_id,
      trajectory.metrics.arm_id,
      trajectory.metrics.reward,
      trajectory.propensity,
    )
  )
  visits = np.asarray(problem.data.visits)
  candidates = np.asarray(problem.data.mask).sum(1)[visits]
  earlier_visits = np.array([np.sum(visits[:t] == visits[t]) for t in range(len(visits))])
  source_user = np.asarray(problem.data.users)[user]
  frame = pl.DataFrame(
    {
      'round': np.arange(problem.num_rounds),
      'user_id': dataset.interactions.user_ids[source_user],
      'item_id': dataset.items.ids[arm],
      'num_candidates': candidates - earlier_visits,
      'propensity': propensity,
      'reward': reward,
    }
  ).filter(pl.Series(arm >= 0))
  temporary = path.with_name(f'.{path.name}')
  frame.write_parquet(temporary)
  temporary.replace(path)
  return {'policy': LOGGED.label, 'setting': setting, 'rows': len(frame)}
