"""Policies x hyperparameters x seeds in one world, in one call.

Writes `regret/POLICY.parquet` (regret and expected reward of every setting and seed at thinned
rounds; of a replay the reward and the matched rounds) as soon as a policy is done, so that a killed
sweep resumes, then `regret.svg`, `regret_others.svg` (without the baseline) and `metrics.json`.
"""

import functools
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from rec_jax import bandits, files
from rec_jax.bandits.base import Policy
from rec_jax.environments.base import Environment
from rec_jax.environments.delayed import (
  delayed,
  fixed_delay,
  geometric_delay,
  longest_geometric_delay,
  uniform_delay,
)
from rec_jax.environments.rollout import rollout
from rec_jax.report import figures, terminal
from rec_jax.runs import limits
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import SweepConfig
from rec_jax.studies.sweep import grid, worlds
from rec_jax.studies.sweep.grid import Hyperparameters
from rec_jax.studies.sweep.sweep_metrics import Measure, Sums
from rec_jax.studies.sweep.worlds import World
from rec_jax.training.tracking import Advance, progress
from rec_jax.types import InputError

logger = logging.getLogger(__name__)

# Of one round of one seed on the host: metrics, and sums in float64.
_BYTES_A_ROUND = 64
# Policy, setting, seed and round.
_NUM_KEYS = 4
_DELAYS = {'geometric': geometric_delay, 'fixed': fixed_delay, 'uniform': uniform_delay}
# At least as many steps of the progress bar a policy, if there are as many seeds.
_MIN_BLOCKS = 20


def run(config: SweepConfig, workdir: str | os.PathLike[str]) -> None:
  """Runs what `workdir` lacks, prints the table and writes the figure and the metrics.

  Raises:
    InputError: an unknown policy, hyperparameter or environment, a value out of its range, a file
      of the world that cannot be used or has changed, or a workdir of another run.
  """
  limits.check_numbers(config)
  _check_delay(config)
  settings = grid.settings_of(config.policies, config.grid, config.baseline)
  world = worlds.build(config)
  _check_fit(settings, world)
  _warn_of_idle(config, settings, world)
  directory = Path(workdir) / 'regret'
  runs.claim(config, workdir, directory)
  if world.file:
    runs.claim_file(workdir, world.file)
  with progress('sweep', config.num_seeds * sum(map(len, settings.values()))) as advance:
    sums = {
      label: each_sum
      for policy, each in settings.items()
      for label, each_sum in _once(config, world, policy, each, directory, advance).items()
    }
  measure = world.measure
  final = {label: measure.final(each) for label, each in sums.items()}
  baseline = grid.label(config.baseline, settings[config.baseline][0])
  difference = {
    label: measure.difference(each, sums[baseline])
    for label, each in sums.items()
    if label != baseline
  }
  details = {label: measure.details(each) for label, each in sums.items()}
  _draw(Path(workdir), config, measure, sums, baseline)
  protocol = (
    f'{config.environment}: {world.description}{_delay(config)}; {config.num_rounds:,} rounds; '
    f'{measure.protocol(config.num_seeds)}'
  )
  rows = [
    runs.estimate_row('sweep', label, metric, estimate, protocol)
    for metric, column in (
      (measure.name, final),
      (f'{measure.name} minus {baseline}', difference),
      *((name, {label: of[name] for label, of in details.items()}) for name in details[baseline]),
    )
    for label, estimate in column.items()
  ]
  files.write_json(Path(workdir) / 'metrics.json', rows)
  columns = [
    'policy',
    f'{measure.name} after {config.num_rounds:,} rounds',
    f'minus {baseline}',
    *details[baseline],
  ]
  sign = -1 if measure.higher_is_better else 1
  best_first = sorted(final, key=lambda label: sign * final[label].value)
  cells = [
    [label, final[label], difference.get(label), *details[label].values()] for label in best_first
  ]
  print(terminal.table(columns, cells))
  print(protocol)


def _check_delay(config: SweepConfig) -> None:
  """Raises InputError where the distribution is unknown or cannot have that mean."""
  kind = config.delay_distribution
  if kind not in _DELAYS:
    raise InputError(
      f'unknown delay_distribution {kind!r}; known: {", ".join(_DELAYS)}: '
      'set --config.delay_distribution'
    )
  if kind != 'geometric' and _longest(config) % 1:
    raise InputError(
      f'delay is {config.delay:g}, and with it the longest {kind} delay {_longest(config):g} '
      'rounds; set --config.delay so that the longest is a whole number'
    )


def _check_fit(settings: dict[str, list[Hyperparameters]], world: World) -> None:
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


def _warn_of_idle(
  config: SweepConfig, settings: dict[str, list[Hyperparameters]], world: World
) -> None:
  """Says which policies learn by their refresh alone, where the rounds never come to one."""
  if 0 < config.refresh_every < config.num_rounds:
    return
  key = jax.random.key(0)
  for policy, each in settings.items():
    made = bandits.make(policy, **each[0])
    state = jax.eval_shape(lambda key, made=made: made.init(key, world.spec), key)
    jaxpr = jax.make_jaxpr(made.refresh)(key, state).jaxpr
    if not set(jaxpr.outvars) <= set(jaxpr.invars):
      logger.warning(
        '%s learns by its refresh, which %d rounds never come to; set --config.refresh_every '
        'to between 1 and num_rounds - 1',
        policy,
        config.num_rounds,
      )


def _once(
  config: SweepConfig,
  world: World,
  policy: str,
  settings: list[Hyperparameters],
  directory: Path,
  advance: Advance,
) -> dict[str, Sums]:
  """Label -> sums [S, points] of each setting, from the file of the policy where there is one."""
  path = directory / f'{policy}.parquet'
  labels = [grid.label(policy, setting) for setting in settings]
  if path.exists():
    advance(config.num_seeds * len(settings), policy)
  else:
    parts = [
      _play(config, world, policy, list(same_shape), advance)
      for _, same_shape in itertools.groupby(settings, _structure)
    ]
    _write(path, _frame(config, policy, labels, _joined(parts)))
  frame = pl.read_parquet(path)
  shape = (len(settings), config.num_seeds, -1)
  values = {name: frame[name].to_numpy().reshape(shape) for name in frame.columns[_NUM_KEYS:]}
  return {label: {name: x[i] for name, x in values.items()} for i, label in enumerate(labels)}


def _play(
  config: SweepConfig, world: World, policy: str, settings: list[Hyperparameters], advance: Advance
) -> Sums:
  """[settings, S, points] of settings of one structure, compiled once."""
  make = functools.partial(_make, policy, _structure(settings[0]))
  environment = _environment(config, world, bandits.make(policy, **settings[0]))
  keys = jnp.tile(jax.random.split(jax.random.key(config.seed), config.num_seeds), len(settings))
  traced = {
    name: jnp.repeat(jnp.array([setting[name] for setting in settings]), config.num_seeds)
    for name, value in settings[0].items()
    if isinstance(value, float)
  }
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
    kept = _kept_rounds(config) - 1
    sums = world.measure.sums(trajectory.metrics)
    parts.append({name: x[:num_new, kept] for name, x in sums.items()})
    advance(num_new, policy)
  shape = (len(settings), config.num_seeds, -1)
  return {name: x.reshape(shape) for name, x in _joined(parts).items()}


def _joined(parts: list[Sums]) -> Sums:
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _environment(config: SweepConfig, world: World, policy: Policy) -> Environment:
  if not config.delay:
    return world.environment
  sample_delay = _DELAYS[config.delay_distribution](config.delay)
  return delayed(world.environment, sample_delay, _max_delay(config), policy, world.spec)


def _longest(config: SweepConfig) -> float:
  if config.delay_distribution == 'geometric':
    return longest_geometric_delay(config.delay)
  return 2 * config.delay if config.delay_distribution == 'uniform' else config.delay


def _max_delay(config: SweepConfig) -> int:
  # What waits as long as the run never arrives.
  return int(min(_longest(config), config.num_rounds))


def _delay(config: SweepConfig) -> str:
  if not config.delay:
    return ''
  kind = config.delay_distribution
  mean = 'of' if kind == 'fixed' else 'with mean'
  # The longest geometric delay is only the longest but for rare ones.
  is_cut = kind == 'geometric' or _longest(config) > _max_delay(config)
  cut = f', cut at {_max_delay(config):,}' if is_cut else ''
  return f', known after a {kind} delay {mean} {config.delay:g} rounds{cut}'


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


def _kept_rounds(config: SweepConfig) -> np.ndarray:
  """[points] int, counted from 1; the last is T."""
  points = min(config.num_points, config.num_rounds)
  return np.arange(1, points + 1) * config.num_rounds // points


def _frame(config: SweepConfig, policy: str, labels: list[str], sums: Sums) -> pl.DataFrame:
  """A row for each setting, seed and kept round: `_NUM_KEYS` columns that name it, then sums."""
  first = next(iter(sums.values()))
  setting, seed, point = np.indices(first.shape).reshape(3, -1)
  keys = {
    'policy': pl.repeat(policy, first.size, eager=True),
    'setting': pl.Series(labels).gather(setting),
    'seed': seed.astype(np.int32),
    'round': _kept_rounds(config)[point].astype(np.int32),
  }
  return pl.DataFrame(keys | {name: x.ravel() for name, x in sums.items()})


def _write(path: Path, frame: pl.DataFrame) -> None:
  with files.replacing(path) as stream:
    frame.write_parquet(stream)


def _draw(
  workdir: Path, config: SweepConfig, measure: Measure, sums: dict[str, Sums], baseline: str
) -> None:
  """A panel of all, and one of all but the baseline, which can dwarf the rest."""
  rounds = _kept_rounds(config)
  bands = {label: measure.band(each) for label, each in sums.items()}
  every = {
    label: figures.Curve(rounds, band.value, band.low, band.high) for label, band in bands.items()
  }
  panels = {measure.title: every}
  if len(every) > 1:
    others = {label: curve for label, curve in every.items() if label != baseline}
    panels[f'{measure.title}, without {baseline}'] = others
  figure = figures.curves(config.environment, panels, xlabel='round')
  for name, svg in zip(('regret.svg', 'regret_others.svg'), figure.panels, strict=False):
    files.write_atomic(workdir / name, svg)
