"""Policies x hyperparameters x seeds in one world, in one call.

Writes `regret/POLICY.parquet` (regret and expected reward of every setting and seed at thinned
rounds; of a replay the reward and the matched rounds) as soon as a policy is done, so that a killed
sweep resumes, then `regret.svg`, `regret_others.svg` (without the baseline), `metrics.json` and a
page.
"""

import functools
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import jax

from rec_jax import bandits, files
from rec_jax.report import figures
from rec_jax.runs import limits, study
from rec_jax.runs import workdir as runs
from rec_jax.runs.parts import Parts
from rec_jax.runs.study_results import Result
from rec_jax.studies.sweep import delays, grid, rollouts, worlds
from rec_jax.studies.sweep.config import SweepConfig
from rec_jax.studies.sweep.grid import Hyperparameters
from rec_jax.studies.sweep.sweep_metrics import Measure, Sums
from rec_jax.studies.sweep.world import World
from rec_jax.training.tracking import progress
from rec_jax.types import InputError

logger = logging.getLogger(__name__)


def run(config: SweepConfig, workdir: str | os.PathLike[str]) -> None:
  """Runs what `workdir` lacks, prints the table and writes figures, metrics and page.

  Raises:
    InputError: an unknown policy, hyperparameter or environment, a value out of its range, a file
      of the world that cannot be used or has changed, or a workdir of another run.
  """
  limits.check_numbers(config)
  delays.check(config)
  settings = grid.settings_of(config.policies, config.grid, config.baseline)
  world = worlds.build(config)
  _check_fit(settings, world)
  _warn_of_idle(config, settings, world)
  workdir = Path(workdir)
  runs.claim(config, workdir, workdir / 'regret')
  if world.file:
    runs.claim_file(workdir, world.file)
  sums = _sums(config, settings, world, workdir)
  measure, baseline = world.measure, grid.label(config.baseline, settings[config.baseline][0])
  protocol = (
    f'{config.environment}: {world.description}{delays.description(config)}; '
    f'{config.num_rounds:,} rounds; {measure.protocol(config.num_seeds)}'
    f'{_rejections(sums)}'
  )
  title = f'{config.environment}: {measure.name} after {config.num_rounds:,} rounds'
  drawn = _draw(workdir, config, measure, sums, baseline)
  study.conclude(
    workdir, title, protocol, list(_results(measure, sums, baseline)), baseline, drawn=drawn
  )


def _sums(
  config: SweepConfig, settings: dict[str, list[Hyperparameters]], world: World, workdir: Path
) -> dict[str, Sums]:
  """Label -> sums [S, points] of every setting, from the file of its policy where there is one."""
  sums: dict[str, Sums] = {}
  with progress('sweep', config.num_seeds * sum(map(len, settings.values()))) as advance:
    parts = Parts(workdir / 'regret', advance)
    for policy, each in settings.items():
      if parts.has(policy):
        advance(config.num_seeds * len(each), policy)
      play = functools.partial(rollouts.play, config, world, policy, each, advance)
      frame = parts.frame(policy, play)
      sums |= rollouts.sums_of(frame, config.num_seeds)
  return sums


def _rejections(sums: dict[str, Sums]) -> str:
  """Which policies were fed rewards that they are not made for; also logged."""
  number = {label: float(each[rollouts.REJECTED][:, -1].mean()) for label, each in sums.items()}
  told = ''
  for label, mean in number.items():
    if mean:
      line = f'{label} could not learn from {mean:,.0f} rows of feedback a seed'
      logger.warning('%s: their rewards are outside the range that it is made for', line)
      told += f'; {line}, with rewards outside its range'
  return told


def _results(measure: Measure, sums: dict[str, Sums], baseline: str) -> Iterator[Result]:
  """The best setting first."""
  final = {label: measure.final(each) for label, each in sums.items()}
  sign = -1 if measure.higher_is_better else 1
  for label in sorted(final, key=lambda label: sign * final[label].value):
    other = label != baseline
    difference = measure.difference(sums[label], sums[baseline]) if other else None
    yield Result(label, measure.name, final[label], difference)
    for name, estimate in measure.details(sums[label]).items():
      yield Result(label, name, estimate)


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


def _draw(
  workdir: Path, config: SweepConfig, measure: Measure, sums: dict[str, Sums], baseline: str
) -> dict[str, str]:
  """A panel of all, and one of all but the baseline, which can dwarf the rest; title -> SVG."""
  rounds = rollouts.kept_rounds(config)
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
  return dict(zip(panels, figure.panels, strict=True))
