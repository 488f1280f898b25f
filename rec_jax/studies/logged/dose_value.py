"""Evaluating a policy that chooses a number, on a log of such choices, from the command line."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from rec_jax import files
from rec_jax.data import logged_doses
from rec_jax.data.logged_doses import LoggedDoses
from rec_jax.data.logged_feedback import scaled
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import continuous
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.evaluation.off_policy.estimators import Rounds, influence
from rec_jax.evaluation.off_policy.evaluate import Interval, PolicyValue, evaluate_rounds
from rec_jax.evaluation.off_policy.overlap import overlap_of
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, MODEL_BASED
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.studies.logged import (
  log_checks,
  named_policies,
  own_policy,
  paired_ranking,
  propensities,
  valuation,
)
from rec_jax.studies.logged.evaluation import PLAIN, Evaluation, Reading
from rec_jax.studies.logged.log_checks import LOGGED, NUM_FOLDS
from rec_jax.studies.logged.named_policies import DOSE
from rec_jax.types import InputError

INTERVALS = ('bootstrap', 't', 'likelihood')
NAMES = ('ipw', 'snipw', 'dm', 'dr', 'sndr')
BIAS = (
  "SLOPE's h is by squared error: the interval leaves out the bias, which is not small beside it"
)


def run(
  path: str | Path,
  name: str,
  train_share: float,
  seed: int,
  figure: Path,
  out: Path | None,
  against: str,
  reading: Reading,
) -> None:
  """Prints what a policy would have earned, and draws it; by `valuation.run` of other logs.

  Args:
    path: of a log, see `data.logged_doses`.
    train_share: of other logs; of these no policy learns here.
    name: as in `doses`; several, between commas, are ranked, with `against` among them.
    seed: of the folds and the bootstrap.
    figure: the SVG that is written.
    out: JSON with a row an estimator.
    against: 'logged', or likewise a policy, in place of which the first one is.
    reading: estimators and intervals.

  Raises:
    InputError: bad input, one line that names the row; nothing is written.
  """
  if not logged_doses.holds_doses(path):
    valuation.run(path, name, train_share, seed, figure, out, against, reading)
    return
  log_checks.check_settings(train_share, seed, reading.level)
  for flag, file in (('figure', figure), ('out', out)):
    if file is not None and (not file.parent.is_dir() or file.is_dir()):
      raise InputError(f'--{flag}: {file} cannot be written; name a file in a directory')
  if reading.interval not in INTERVALS:
    raise InputError(f'--interval: {reading.interval} is not one of {", ".join(INTERVALS)}')
  if reading.propensities != propensities.LOGGED:
    raise InputError('--propensities: those of numbers are not estimated; log their density')
  if reading.model != PLAIN:
    raise InputError('--model: mrdr is not for numbers as actions; leave it out')
  asked = [each for each in NAMES if each in reading.names]
  unknown = [] if set(reading.names) == set(ESTIMATORS) else set(reading.names) - set(NAMES)
  for each in unknown:
    raise InputError(
      f'--estimators: {each} is not one of {", ".join(NAMES)}, for numbers as actions'
    )
  log = logged_doses.read(path)
  names = named_policies.split(name)
  if len(names) > 1:
    flags = dict.fromkeys(names, '--policy') | ({} if against == LOGGED else {against: '--against'})
    given = {each: doses(each, log, path, flag) for each, flag in flags.items()}
    _rank(log, given, seed, reading.level, figure, out)
    return
  dose, other = doses(name, log, path), None
  if against != LOGGED:
    other = doses(against, log, path, '--against')
  result = evaluate_dose(log, dose, asked, seed, reading)
  gain = effect(log, dose, other, seed, reading.level)
  _report(name, result, figure, out, reading.level)
  if other is not None:
    for each in _doubts(log, other, seed):
      print(f'warning: {against}: {each}')
  print(f'effect of {name} in place of {against}: {numbers.plain(gain, sign=True)}')


def doses(name: str, log: LoggedDoses, path: str | Path, flag: str = '--policy') -> np.ndarray:
  """[n] what the policy would choose.

  Args:
    name: 'dose:NUMBER', always that one; 'column:NAME' of the log, 'FILE.npy', or
      'python:MODULE:FUNCTION' of a `LoggedDoses`, that give what the policy would choose in each
      round.
    log: of n rounds.
    path: of its file.
    flag: that named the policy.

  Raises:
    InputError: there is none, or it is not a usable number in each round.
  """
  if own_policy.is_own(name):
    values = own_policy.given(name, log, path, flag)
  elif name.startswith(DOSE):
    try:
      values = np.full(len(log.action), float(name.removeprefix(DOSE)))
    except ValueError as error:
      raise InputError(f'{flag}: {name}: no number; give one, as dose:0.5') from error
  else:
    raise InputError(
      f'{flag}: {name}: where actions are numbers, give dose:NUMBER, column:NAME, FILE.npy or '
      'python:MODULE:FUNCTION'
    )
  if values.dtype.kind not in 'iuf' or values.shape != log.action.shape:
    raise InputError(
      f'{flag}: {name} holds {values.dtype} of shape {list(values.shape)}; give a number a '
      f'round, [{len(log.action)}]'
    )
  wrong = ~logged_doses.usable(values)
  if wrong.any():
    row = int(np.argmax(wrong))
    raise InputError(f'{flag}: {name}, row {row}: {values[row]:g} is not finite, or too large')
  return values.astype(np.float64)


def evaluate_dose(
  log: LoggedDoses, dose: np.ndarray, names: list[str], seed: int, reading: Reading
) -> Evaluation:
  """The value of choosing doses [n], by each estimator at two bandwidths.

  These are the one at which intervals hold, `continuous.undersmoothed`, and that of SLOPE. Those
  with a model are left out of logs too short for one.
  """
  columns = _columns(log, dose, seed)
  if 'q_logged' not in columns:
    names = [name for name in names if name not in MODEL_BASED]
  if not names:
    raise InputError('--estimators: none applies to a log this short; add snipw')
  unit, cluster = _unit(log)
  found: dict[str, PolicyValue] = {}
  narrow = continuous.undersmoothed(log.action, dose)
  rounds = continuous.near(**columns, bandwidth=narrow)
  for name in names:
    estimator: Callable = ESTIMATORS[name]
    # The model alone has no weights, of which to warn either.
    labels = {name: narrow}
    if name != 'dm':
      wide = continuous.slope(estimator, **columns)
      labels = {f'{name}, h {narrow:.3g}': narrow, f"{name}, SLOPE's h {wide:.3g}": wide}
    for label, width in labels.items():
      seen = rounds if width == narrow else continuous.near(**columns, bandwidth=width)
      if name != 'dm':
        _check_near(seen, '--policy')
      with jax.enable_x64():
        value = evaluate_rounds(
          jax.random.key(seed),
          seen,
          {label: estimator},
          cluster=cluster,
          interval=cast(Interval, reading.interval),
          level=reading.level,
        )[label]
      cut = continuous.beyond(log.action, dose, width)
      said = [value.warning, cut, BIAS if 'SLOPE' in label else '']
      warning = '' if name == 'dm' else '; '.join(filter(None, said))
      found[label] = dataclasses.replace(value, warning=warning)
  mean = float(log.reward.mean())
  return Evaluation(found, None, mean, 0, unit, np.arange(len(dose)), rounds)


def effect(
  log: LoggedDoses, dose: np.ndarray, other: np.ndarray | None, seed: int, level: float
) -> Estimate:
  """What doses [n] earn more than others, or than the logged ones, paired round by round.

  By the doubly robust estimate, of logs too short for a model by the self-normalised one, each at
  its own `continuous.undersmoothed` bandwidth; with Student's interval.

  Raises:
    InputError: doses of either are near no logged action.
  """
  mine = _added(log, dose, seed, '--policy')
  theirs = log.reward if other is None else _added(log, other, seed, '--against')
  return corrected_t(summed(mine - theirs, _unit(log)[1]), level=level)


def _added(log: LoggedDoses, dose: np.ndarray, seed: int, flag: str) -> np.ndarray:
  """[n] values whose mean is the estimate."""
  rounds = _rounds(log, dose, seed)
  _check_near(rounds, flag)
  name = 'dr' if len(dose) >= NUM_FOLDS else 'snipw'
  with jax.enable_x64():
    return np.asarray(influence(ESTIMATORS[name](rounds)))


def _rank(
  log: LoggedDoses,
  given: Mapping[str, np.ndarray],
  seed: int,
  level: float,
  figure: Path,
  out: Path | None,
) -> None:
  """Ranks policies by what each adds in every round, see `effect`."""
  added = {name: _added(log, dose, seed, f'--policy: {name}') for name, dose in given.items()}
  doubts = {name: '; '.join(_doubts(log, dose, seed)) for name, dose in given.items()}
  label = 'dr' if len(log.reward) >= NUM_FOLDS else 'snipw'
  ranked = {label: paired_ranking.of_values(added, log.reward, _unit(log)[1], level)}
  paired_ranking.report(ranked, doubts, f'on all {len(log.reward):,} rounds', level, figure, out)


def _doubts(log: LoggedDoses, dose: np.ndarray, seed: int) -> list[str]:
  """Warnings of `effect` by doses [n]."""
  width = continuous.undersmoothed(log.action, dose)
  overlap = overlap_of(_rounds(log, dose, seed), _unit(log)[1]).warning
  return list(filter(None, (overlap, continuous.beyond(log.action, dose, width))))


def _check_near(rounds: Rounds, flag: str) -> None:
  if not np.asarray(rounds.weight).any():
    raise InputError(f'{flag}: no overlap: it is near no logged action')


def _rounds(log: LoggedDoses, dose: np.ndarray, seed: int) -> Rounds:
  width = continuous.undersmoothed(log.action, dose)
  return continuous.near(**_columns(log, dose, seed), bandwidth=width)


def _columns(log: LoggedDoses, dose: np.ndarray, seed: int) -> dict[str, Any]:
  """Arguments of `continuous.near`, with a model where the log is long enough."""
  columns: dict[str, Any] = {
    'reward': log.reward,
    'action': log.action,
    'density': log.density,
    'dose': dose,
  }
  if len(dose) >= NUM_FOLDS:
    fold = folds(seed, len(dose), NUM_FOLDS)
    model = continuous.expected_rewards(log.reward, log.action, dose, scaled(log.context), fold)
    columns |= dict(zip(('q_logged', 'q_target'), model, strict=True))
  return columns


def _unit(log: LoggedDoses) -> tuple[str, np.ndarray | None]:
  """What is resampled, and which unit each round belongs to where that is not the round."""
  return ('users', log.user_id) if (log.user_id != log.user_id[0]).any() else ('rounds', None)


def _report(name: str, result: Evaluation, figure: Path, out: Path | None, level: float) -> None:
  """Prints and draws the values."""
  said = valuation.protocol(result, 0)
  print(f'{name}, {said}')
  columns = ['estimator', f'value [{100 * level:g} % interval]']
  columns += ['effective sample size', 'largest weight']
  table: list[list[Cell]] = [
    [label, value, round(value.effective_sample_size), value.max_weight]
    for label, value in result.values.items()
  ]
  print(terminal.table(columns, table))
  interval = next(iter(result.values.values())).interval
  print(f'intervals: {100 * level:g} %, {interval}, over {result.unit}')
  print(f'logging policy on the same rounds: {result.logged_mean:.4g}')
  for line in valuation.warnings(result):
    print(f'warning: {line}')
  if out is not None:
    files.write_json(out, valuation.rows(name, result, said))
  drawn = figures.forest(name, {'value of the policy': result.values}, reference=result.logged_mean)
  files.write_atomic(figure, drawn.panels[0])
  print(f'figure: {figure}')
