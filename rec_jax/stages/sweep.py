"""Policies x hyperparameters x seeds in a synthetic world, in one call.

Writes `regret/POLICY.parquet` (regret of every setting and seed at thinned rounds) as soon as a
policy is done, so that a killed sweep resumes, then `regret.svg`, `regret_others.svg` (without the
baseline) and `metrics.json`.
"""

import functools
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from rec_jax import bandits
from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Metrics
from rec_jax.environments.rollout import rollout
from rec_jax.evaluation import intervals, regret
from rec_jax.report import figures, terminal
from rec_jax.stages import grid, limits, worlds
from rec_jax.stages import workdir as runs
from rec_jax.stages.config import SweepConfig
from rec_jax.stages.grid import Setting
from rec_jax.stages.worlds import World
from rec_jax.training.tracking import Advance, progress
from rec_jax.types import InputError

# Of one round of one seed on the host: metrics, and regret in float64 while it is summed.
_BYTES_A_ROUND = 64
# At least as many steps of the progress bar a policy, if there are as many seeds.
_MIN_BLOCKS = 20


def run(config: SweepConfig, workdir: str | os.PathLike[str]) -> None:
  """Runs what `workdir` lacks, prints the table and writes the figure and the metrics.

  Raises:
    InputError: an unknown policy, hyperparameter or environment, a value out of its range, or a
      workdir of another run.
  """
  limits.check_numbers(config)
  settings = grid.settings_of(config.policies, config.grid, config.baseline)
  world = worlds.build(config)
  _check_fit(settings, world)
  directory = Path(workdir) / 'regret'
  runs.claim(config, workdir, directory)
  with progress('sweep', config.seeds * sum(map(len, settings.values()))) as advance:
    curves = {
      label: curve
      for policy, each in settings.items()
      for label, curve in _once(config, world, policy, each, directory, advance).items()
    }
  final = {label: intervals.t_interval(curve[:, -1]) for label, curve in curves.items()}
  baseline = grid.label(config.baseline, settings[config.baseline][0])
  _draw(Path(workdir), config, curves, baseline)
  difference = {
    label: intervals.t_interval(curve[:, -1] - curves[baseline][:, -1])
    for label, curve in curves.items()
    if label != baseline
  }
  protocol = (
    f'{config.environment}: {world.description}; {config.num_rounds:,} rounds; regret is the sum '
    "of the best minus the chosen expected reward; 95 % intervals (Student's t) over "
    f'{config.seeds:,} seeds, which share the truth of the world; differences paired by seed'
  )
  rows = [
    runs.estimate_row('sweep', label, metric, estimate, protocol)
    for metric, column in (('regret', final), (f'regret minus {baseline}', difference))
    for label, estimate in column.items()
  ]
  runs.write_json(Path(workdir) / 'metrics.json', rows)
  columns = ['policy', f'regret after {config.num_rounds:,} rounds', f'minus {baseline}']
  best_first = sorted(final, key=lambda label: final[label].value)
  print(terminal.table(columns, [[name, final[name], difference.get(name)] for name in best_first]))
  print(protocol)


def _check_fit(settings: dict[str, list[Setting]], world: World) -> None:
  """Raises InputError where a policy cannot be built for the sizes of the world."""
  for policy, each in settings.items():
    for setting in each:
      init = bandits.make(policy, **setting).init
      try:
        jax.eval_shape(lambda key, init=init: init(key, world.spec), jax.random.key(0))
      except ValueError as error:
        raise InputError(
          f'policy {policy!r} does not fit this environment ({error}); leave it out of '
          '--config.policies'
        ) from error


def _once(
  config: SweepConfig,
  world: World,
  policy: str,
  settings: list[Setting],
  directory: Path,
  advance: Advance,
) -> dict[str, np.ndarray]:
  """Label -> regret [S, points] of each setting, from its file where there is one."""
  path = directory / f'{policy}.parquet'
  labels = [grid.label(policy, setting) for setting in settings]
  if path.exists():
    advance(config.seeds * len(settings), policy)
  else:
    regrets = np.concatenate(
      [
        _regrets(config, world, policy, list(same_shape), advance)
        for _, same_shape in itertools.groupby(settings, _structure)
      ]
    )
    _write(path, _frame(config, policy, labels, regrets))
  values = pl.read_parquet(path)['regret'].to_numpy()
  return dict(zip(labels, values.reshape(len(settings), config.seeds, -1), strict=True))


def _regrets(
  config: SweepConfig, world: World, policy: str, settings: list[Setting], advance: Advance
) -> np.ndarray:
  """[settings, S, points] of settings of one structure, compiled once."""
  make = functools.partial(_make, policy, _structure(settings[0]))
  keys = jnp.tile(jax.random.split(jax.random.key(config.seed), config.seeds), len(settings))
  traced = {
    name: jnp.repeat(jnp.array([setting[name] for setting in settings]), config.seeds)
    for name, value in settings[0].items()
    if isinstance(value, float)
  }
  parts = []
  for rows, num_new in _blocks(len(keys), config):
    trajectory = rollout(
      keys[rows],
      make,
      world.environment,
      world.data,
      world.spec,
      config.num_rounds,
      settings={name: values[rows] for name, values in traced.items()},
      refresh_every=config.refresh_every,
      memory_bound=config.memory_bound,
    )
    parts.append(_thinned(config, trajectory.metrics)[:num_new])
    advance(num_new, policy)
  return np.concatenate(parts).reshape(len(settings), config.seeds, -1)


def _make(policy: str, structure: tuple[tuple[str, int], ...], traced: Setting) -> Policy:
  return bandits.make(policy, **dict(structure), **traced)


def _structure(setting: Setting) -> tuple[tuple[str, int], ...]:
  """The whole numbers, such as the rank: shapes depend on them, so each needs a compilation."""
  return tuple((name, value) for name, value in setting.items() if isinstance(value, int))


def _blocks(num_runs: int, config: SweepConfig) -> Iterator[tuple[np.ndarray, int]]:
  """Rows of one block and how many of them are new; all have one shape, for one compilation."""
  most = config.memory_bound // (_BYTES_A_ROUND * config.num_rounds)
  size = int(np.clip(most, 1, -(-num_runs // _MIN_BLOCKS)))
  for first in range(0, num_runs, size):
    rows = np.arange(first, first + size)
    yield np.minimum(rows, num_runs - 1), min(size, num_runs - first)


def _thinned(config: SweepConfig, metrics: Metrics) -> np.ndarray:
  """[runs, points] cumulative regret."""
  expected, best = (
    np.asarray(x)[:, :, 0, 0] for x in (metrics.expected_reward, metrics.best_expected_reward)
  )
  return regret.cumulative_regret(expected, best)[:, _kept_rounds(config) - 1]


def _kept_rounds(config: SweepConfig) -> np.ndarray:
  """[points] int, counted from 1; the last is T."""
  points = min(config.num_points, config.num_rounds)
  return np.arange(1, points + 1) * config.num_rounds // points


def _frame(
  config: SweepConfig, policy: str, labels: list[str], regrets: np.ndarray
) -> pl.DataFrame:
  rounds = _kept_rounds(config)
  setting, seed, point = np.indices(regrets.shape).reshape(3, -1)
  return pl.DataFrame(
    {
      'policy': pl.repeat(policy, regrets.size, eager=True),
      'setting': pl.Series(labels).gather(setting),
      'seed': seed.astype(np.int32),
      'round': rounds[point].astype(np.int32),
      'regret': regrets.ravel(),
    }
  )


def _write(path: Path, frame: pl.DataFrame) -> None:
  temporary = path.with_name(f'.{path.name}')
  frame.write_parquet(temporary)
  temporary.replace(path)


def _draw(workdir: Path, config: SweepConfig, curves: dict[str, np.ndarray], baseline: str) -> None:
  """A panel of all, and one of all but the baseline, which can dwarf the rest."""
  rounds = _kept_rounds(config)
  bands = {label: regret.band(curve) for label, curve in curves.items()}
  every = {
    label: figures.Curve(rounds, band.value, band.low, band.high) for label, band in bands.items()
  }
  panels = {'cumulative regret': every}
  if len(every) > 1:
    others = {label: curve for label, curve in every.items() if label != baseline}
    panels[f'cumulative regret, without {baseline}'] = others
  figure = figures.curves(config.environment, panels, xlabel='round')
  for name, svg in zip(('regret.svg', 'regret_others.svg'), figure.panels, strict=False):
    runs.write_atomic(workdir / name, svg)
