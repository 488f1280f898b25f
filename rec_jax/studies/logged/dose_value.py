"""Evaluating a policy that chooses a number, on a log of such choices, from the command line."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from rec_jax import files
from rec_jax.data import logged, logged_doses
from rec_jax.data.logged_doses import LoggedDoses
from rec_jax.data.logged_feedback import scaled
from rec_jax.evaluation.off_policy import continuous
from rec_jax.evaluation.off_policy.evaluate import Interval, PolicyValue, evaluate_rounds
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, MODEL_BASED
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.report import figures, terminal
from rec_jax.report.numbers import Cell
from rec_jax.studies.logged import own_policy, propensities, valuation
from rec_jax.studies.logged.evaluation import Evaluation, Reading
from rec_jax.studies.logged.log_checks import LOGGED, NUM_FOLDS
from rec_jax.types import InputError

INTERVALS = ('bootstrap', 't', 'likelihood')
NAMES = ('ipw', 'snipw', 'dm', 'dr', 'sndr')
BIAS = 'rounds count by how near they are: the interval leaves out the bias, which grows as h²'


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
    name: 'column:NAME' of the log, or 'python:MODULE:FUNCTION' of a `LoggedDoses`, that give the
      number which the policy would choose in each round.
    seed: of the folds and the bootstrap.
    figure: the SVG that is written.
    out: JSON with a row an estimator.
    against: 'logged'; no other policy is compared here.
    reading: estimators and intervals.

  Raises:
    InputError: bad input, one line that names the row; nothing is written.
  """
  if not logged_doses.holds_doses(path):
    valuation.run(path, name, train_share, seed, figure, out, against, reading)
    return
  for flag, file in (('figure', figure), ('out', out)):
    if file is not None and (not file.parent.is_dir() or file.is_dir()):
      raise InputError(f'--{flag}: {file} cannot be written; name a file in a directory')
  if against != LOGGED:
    raise InputError('--against: policies over numbers are valued one at a time; leave it out')
  if reading.interval not in INTERVALS:
    raise InputError(f'--interval: {reading.interval} is not one of {", ".join(INTERVALS)}')
  if reading.propensities != propensities.LOGGED:
    raise InputError('--propensities: those of numbers are not estimated; log their density')
  asked = [each for each in NAMES if each in reading.names]
  unknown = [] if set(reading.names) == set(ESTIMATORS) else set(reading.names) - set(NAMES)
  for each in unknown:
    raise InputError(
      f'--estimators: {each} is not one of {", ".join(NAMES)}, for numbers as actions'
    )
  log = logged_doses.read(path)
  result = evaluate_dose(log, doses(name, log, path), asked, seed, reading)
  said = valuation.protocol(result, 0)
  print(f'{name}, {said}')
  columns = ['estimator', f'value [{100 * reading.level:g} % interval]']
  columns += ['effective sample size', 'largest weight']
  table: list[list[Cell]] = [
    [label, value, round(value.effective_sample_size), value.max_weight]
    for label, value in result.values.items()
  ]
  print(terminal.table(columns, table))
  print(f'intervals: {100 * reading.level:g} %, {reading.interval}, over {result.unit}')
  print(f'logging policy on the same rounds: {result.logged_mean:.4g}')
  for line in valuation.warnings(result):
    print(f'warning: {line}')
  if out is not None:
    files.write_json(out, valuation.rows(name, result, said))
  drawn = figures.forest(name, {'value of the policy': result.values}, reference=result.logged_mean)
  files.write_atomic(figure, drawn.panels[0])
  print(f'figure: {figure}')


def doses(name: str, log: LoggedDoses, path: str | Path) -> np.ndarray:
  """[n] what the policy would choose.

  Raises:
    InputError: there is none, or it is not a usable number in each round.
  """
  if name.startswith(own_policy.COLUMN):
    values = logged.read_column(path, name.removeprefix(own_policy.COLUMN))
  elif name.startswith(own_policy.FUNCTION):
    values = own_policy.called(name, log)
  else:
    raise InputError(
      f'--policy: {name}: where actions are numbers, give column:NAME or python:MODULE:FUNCTION'
    )
  if values.dtype.kind not in 'iuf' or values.shape != log.action.shape:
    raise InputError(
      f'--policy: {name} holds {values.dtype} of shape {list(values.shape)}; give a number a '
      f'round, [{len(log.action)}]'
    )
  wrong = ~logged_doses.usable(values)
  if wrong.any():
    row = int(np.argmax(wrong))
    raise InputError(f'--policy: {name}, row {row}: {values[row]:g} is not finite, or too large')
  return values.astype(np.float64)


def evaluate_dose(
  log: LoggedDoses, dose: np.ndarray, names: list[str], seed: int, reading: Reading
) -> Evaluation:
  """The value of choosing doses [n], by each estimator at the bandwidth that SLOPE chooses for it.

  Those with a model are left out of logs too short for one.
  """
  num_rounds = len(log.reward)
  columns: dict[str, Any] = {
    'reward': log.reward,
    'action': log.action,
    'density': log.density,
    'dose': dose,
  }
  if num_rounds >= NUM_FOLDS:
    fold = folds(seed, num_rounds, NUM_FOLDS)
    model = continuous.expected_rewards(log.reward, log.action, dose, scaled(log.context), fold)
    columns |= dict(zip(('q_logged', 'q_target'), model, strict=True))
  else:
    names = [name for name in names if name not in MODEL_BASED]
  if not names:
    raise InputError('--estimators: none applies to a log this short; add snipw')
  unit, cluster = ('rounds', None)
  if (log.user_id != log.user_id[0]).any():
    unit, cluster = 'users', log.user_id
  found: dict[str, PolicyValue] = {}
  for name in names:
    estimator: Callable = ESTIMATORS[name]
    width = continuous.slope(estimator, **columns)
    rounds = continuous.near(**columns, bandwidth=width)
    if not np.asarray(rounds.weight).any() and name != 'dm':
      raise InputError('--policy: no overlap: it is near no logged action')
    label = name if name == 'dm' else f'{name}, h {width:.3g}'
    with jax.enable_x64():
      value = evaluate_rounds(
        jax.random.key(seed),
        rounds,
        {label: estimator},
        cluster=cluster,
        interval=cast(Interval, reading.interval),
        level=reading.level,
      )[label]
    # The model alone has no weights to warn of.
    warning = '' if name == 'dm' else '; '.join(filter(None, (value.warning, BIAS)))
    found[label] = dataclasses.replace(value, warning=warning)
  mean = float(log.reward.mean())
  return Evaluation(found, None, mean, 0, unit, np.arange(num_rounds), rounds)
