"""The log of an exploring policy as Parquet: one row a decision, with all that it chose from."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from rec_jax.data import logged
from rec_jax.data.dataset import Dataset
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.environments.sparse_rows import left_aligned
from rec_jax.environments.visits import offered
from rec_jax.runs.config import Config
from rec_jax.stages.explore import policies, worlds
from rec_jax.stages.explore.policies import Hyperparameters, PolicyEntry
from rec_jax.stages.explore.worlds import World

LOGGED = PolicyEntry('epsilon-greedy, per user', 'per_user_lin_epsilon_greedy')


def write(
  path: Path, config: Config, world: World, chosen: dict[str, Hyperparameters], dataset: Dataset
) -> dict[str, Any]:
  """Rolls one exploring policy out and writes what it logged.

  Of each decision it holds the user, the item and its exact propensity, the reward, and the
  candidates with what each of them would have earned, so that any other policy can be evaluated
  from it and compared with the truth. The features of the items are in its metadata.

  Args:
    path: of the file, see `data.logged`.
    config: of the run; `explore.log_epsilon` is the share of uniform exploration.
    world: the rated candidates, of which `explore.log_candidates` are offered at a visit.
    chosen: tuned settings, of which the precision of the greedy policy is used.
    dataset: whose ids are written.

  Returns:
    What was logged, as JSON.
  """
  setting, number = logged_setting(config, chosen), config.explore.log_candidates
  trajectory = policies.run(
    LOGGED,
    worlds.with_offers(world, number, config.seed),
    [setting],
    1,
    config.seed,
    config.explore.memory_bound,
    record_log=True,
  )
  arm, reward, propensity = (
    np.asarray(column)[0].reshape(world.num_rounds)
    for column in (trajectory.metrics.arm_id, trajectory.metrics.reward, trajectory.propensity)
  )
  shown = np.flatnonzero(arm >= 0)
  user = np.asarray(world.data.visits)[shown]
  columns, held = left_aligned(_offers(world, arm, number, config.seed)[shown])
  items, rewards = (
    np.take_along_axis(np.asarray(table)[user], columns, axis=1)
    for table in (world.data.items, world.data.rewards)
  )
  log = LoggedFeedback(
    round=shown,
    user_id=dataset.interactions.user_ids[np.asarray(world.data.users)[user]],
    item_ids=dataset.items.ids,
    action=arm[shown].astype(np.int64),
    num_candidates=held.sum(1),
    position=np.zeros(len(shown), np.int64),
    propensity=propensity[shown].astype(np.float64),
    reward=reward[shown].astype(np.float64),
    action_context=np.asarray(world.data.features),
    expected_reward=np.where(held, rewards, 0).astype(np.float64),
    candidates=np.where(held, items, -1).astype(np.int64),
    is_adaptive=True,
  )
  logged.write(path, log)
  return {'policy': LOGGED.label, 'setting': setting, 'rows': len(shown)}


def logged_setting(config: Config, chosen: dict[str, Hyperparameters]) -> Hyperparameters:
  """The settings of the policy that logs."""
  return chosen[policies.PER_USER_GREEDY.label] | {'epsilon': config.explore.log_epsilon}


def _offers(world: World, arm: np.ndarray, number: int, seed: int) -> np.ndarray:
  """[T, K] bool, what each round offered of the candidates that its user was not shown before."""
  user, rounds = np.asarray(world.data.visits), np.arange(world.num_rounds)
  mask, items = np.asarray(world.data.mask), np.asarray(world.data.items)
  index = np.argmax(mask[user] & (items[user] == arm[:, None]), axis=1)
  shown_in = np.full(mask.shape, world.num_rounds)
  shown_in[user[arm >= 0], index[arm >= 0]] = rounds[arm >= 0]
  available = mask[user] & (shown_in[user] >= rounds[:, None])
  return np.asarray(jax.vmap(lambda t, row: offered(seed, t, row, number))(rounds, available))
