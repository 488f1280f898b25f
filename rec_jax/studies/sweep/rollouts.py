"""The rollouts of one policy: all settings and seeds side by side, in blocks that fit the host."""

import functools
import itertools
from collections.abc import Iterator

import jax
import numpy as np
import polars as pl

from rec_jax import bandits
from rec_jax.bandits.base import Policy
from rec_jax.environments.rollout import rollout, side_by_side
from rec_jax.studies.sweep import delays, grid
from rec_jax.studies.sweep.config import SweepConfig
from rec_jax.studies.sweep.grid import Hyperparameters
from rec_jax.studies.sweep.sweep_metrics import Sums
from rec_jax.studies.sweep.world import World
from rec_jax.training.tracking import Advance

# Of one round of one seed on the host: metrics, and sums in float64.
_BYTES_A_ROUND = 64
# At least as many steps of the progress bar a policy, if there are as many seeds.
_MIN_BLOCKS = 20
# The column of how many rows of feedback a policy could not learn from, in the whole run.
REJECTED = 'rejected'
# The columns that name a row: policy, setting, seed and round.
_NUM_KEYS = 4


def play(
  config: SweepConfig, world: World, policy: str, settings: list[Hyperparameters], advance: Advance
) -> pl.DataFrame:
  """The sums of every setting and seed at the kept rounds, a row each."""
  parts = [
    _play_alike(config, world, policy, list(same_shape), advance)
    for _, same_shape in itertools.groupby(settings, _structure)
  ]
  return _frame(config, policy, [grid.label(policy, each) for each in settings], _joined(parts))


def sums_of(frame: pl.DataFrame, num_seeds: int) -> dict[str, Sums]:
  """Label of a setting -> sums [S, points], out of what `play` returned."""
  labels = frame['setting'].unique(maintain_order=True).to_list()
  shape = (len(labels), num_seeds, -1)
  values = {name: frame[name].to_numpy().reshape(shape) for name in frame.columns[_NUM_KEYS:]}
  return {label: {name: x[i] for name, x in values.items()} for i, label in enumerate(labels)}


def kept_rounds(config: SweepConfig) -> np.ndarray:
  """[points] int, counted from 1; the last is T."""
  points = min(config.num_points, config.num_rounds)
  return np.arange(1, points + 1) * config.num_rounds // points


def _play_alike(
  config: SweepConfig, world: World, policy: str, settings: list[Hyperparameters], advance: Advance
) -> Sums:
  """[settings, S, points] of settings of one structure, compiled once."""
  make = functools.partial(_make, policy, _structure(settings[0]))
  environment = delays.environment(config, world, bandits.make(policy, **settings[0]))
  numbers = [{k: v for k, v in each.items() if isinstance(v, float)} for each in settings]
  keys, traced = side_by_side(jax.random.key(config.seed), config.num_seeds, numbers)
  parts = []
  for rows, num_new in _blocks(len(keys), config):
    trajectory = rollout(
      keys[rows],
      make,
      environment,
      world.data,
      world.spec,
      config.num_rounds,
      settings={name: values[rows] for name, values in traced.items()},
      refresh_every=config.refresh_every,
      memory_bound=config.memory_bound,
    )
    kept = kept_rounds(config) - 1
    sums = world.measure.sums(trajectory.metrics)
    rejected = np.broadcast_to(trajectory.num_rejected[:, None], (len(rows), config.num_rounds))
    sums = {**sums, REJECTED: rejected.astype(np.float64)}
    parts.append({name: x[:num_new, kept] for name, x in sums.items()})
    advance(num_new, policy)
  shape = (len(settings), config.num_seeds, -1)
  return {name: x.reshape(shape) for name, x in _joined(parts).items()}


def _joined(parts: list[Sums]) -> Sums:
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _make(policy: str, structure: tuple[tuple[str, int], ...], traced: Hyperparameters) -> Policy:
  return bandits.make(policy, **dict(structure), **traced)


def _structure(setting: Hyperparameters) -> tuple[tuple[str, int], ...]:
  """The whole numbers, such as the rank: shapes depend on them, so each needs a compilation."""
  return tuple((name, value) for name, value in setting.items() if isinstance(value, int))


def _blocks(num_runs: int, config: SweepConfig) -> Iterator[tuple[np.ndarray, int]]:
  """Rows of one block and how many of them are new; all have one shape, for one compilation."""
  most = config.memory_bound // (_BYTES_A_ROUND * config.num_rounds)
  size = int(np.clip(most, 1, -(-num_runs // _MIN_BLOCKS)))
  for first in range(0, num_runs, size):
    rows = np.arange(first, first + size)
    yield np.minimum(rows, num_runs - 1), min(size, num_runs - first)


def _frame(config: SweepConfig, policy: str, labels: list[str], sums: Sums) -> pl.DataFrame:
  """A row for each setting, seed and kept round: `_NUM_KEYS` columns that name it, then sums."""
  first = next(iter(sums.values()))
  setting, seed, point = np.indices(first.shape).reshape(3, -1)
  keys = {
    'policy': pl.repeat(policy, first.size, eager=True),
    'setting': pl.Series(labels).gather(setting),
    'seed': seed.astype(np.int32),
    'round': kept_rounds(config)[point].astype(np.int32),
  }
  return pl.DataFrame(keys | {name: x.ravel() for name, x in sums.items()})
