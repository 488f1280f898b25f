"""Evaluating one policy on one log from the command line: a table, a figure, a line of advice."""

import math
from pathlib import Path
from typing import Any

from rec_jax import files
from rec_jax.data import logged
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import sensitivity
from rec_jax.evaluation.off_policy.evaluate import PolicyValue
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.studies.logged import evaluation, policy_value
from rec_jax.studies.logged.evaluation import Evaluation
from rec_jax.studies.logged.policy_value import LOGGED
from rec_jax.types import InputError


def run(
  path: str | Path,
  name: str,
  train_share: float,
  seed: int,
  figure: Path,
  out: Path | None = None,
  against: str = policy_value.LOGGED,
) -> None:
  """Prints the evaluation of a policy on a log and draws it.

  Args:
    path: of a log, see `data.logged`.
    name: as in `policy_value.evaluate_policy`.
    train_share: part of the log, from its beginning, that the policy learns from; in (0, 1).
    seed: of the policy, the folds and the bootstrap.
    figure: the SVG that is written.
    out: JSON with a row an estimator, as in metrics.json, with overlap and truth beside it.
    against: likewise a policy, in place of which the first one is.

  Raises:
    InputError: bad input, one line that names the row.
  """
  if not 0 < train_share < 1:
    raise InputError(f'--train_share: {train_share:g} is not in (0, 1)')
  for flag, file in (('figure', figure), ('out', out)):
    if file is not None and not file.parent.is_dir():
      raise InputError(f'--{flag}: no directory {file.parent}')
    if file is not None and file.is_dir():
      raise InputError(f'--{flag}: {file} is a directory; name a file in it')
  log = logged.read(path)
  num_rounds = len(log.action)
  found = [policy_value.frozen_of(each) for each in (name, against)]
  log = policy_value.without_lessons(log, [frozen for frozen in found if frozen is not None])
  result = policy_value.evaluate_policy(log, name, train_share, seed)
  other = (
    None if against == LOGGED else policy_value.evaluate_policy(log, against, train_share, seed)
  )
  left_out = num_rounds - len(log.action)
  report(log, name, result, left_out, figure, out, against, other)


def report(
  log: LoggedFeedback,
  name: str,
  result: Evaluation,
  left_out: int,
  figure: Path,
  out: Path | None = None,
  against: str = policy_value.LOGGED,
  other: Evaluation | None = None,
) -> None:
  """Prints an evaluation and draws it.

  Args:
    log: whose rounds gave the evaluation.
    name: of the policy.
    result: its evaluation.
    left_out: rounds of the log as it was given that taught a policy and are not in `log`.
    figure: as in `run`, with `out` and `against`.
    out: see there.
    against: see there.
    other: evaluation of that policy, None for the one that logged.
  """
  print(f'{name}, {protocol(result, left_out)}')
  print(terminal.table(*_table(result)))
  print(f'intervals: 95 %, {result.unit} are resampled')
  if result.truth is not None:
    print(f'truth, from the known reward of every candidate: {result.truth:.4g}')
  print(f'logging policy on the same rounds: {result.logged_mean:.4g}')
  for line in warnings(result):
    print(f'warning: {line}')
  if out is not None:
    files.write_json(out, rows(name, result, left_out))
  plain = evaluation.effect(log, result)
  if name != LOGGED:
    found = plain if other is None else evaluation.effect(log, result, other)
    print(f'effect of {name} in place of {against}: {effect_line(found)}')
  drawn = figures.forest(name, {'value of the policy': result.values}, reference=result.logged_mean)
  files.write_atomic(figure, drawn.panels[0])
  print(f'advice: {advice(name, result, plain)}\nfigure: {figure}')


def warnings(result: Evaluation) -> list[str]:
  """Each warning once, with the estimators that it concerns unless it concerns them all."""
  labels: dict[str, list[str]] = {}
  for label, value in result.values.items():
    for part in filter(None, value.warning.split('; ')):
      labels.setdefault(part, []).append(label)
  return [
    warning if len(each) == len(result.values) else f'{", ".join(each)}: {warning}'
    for warning, each in labels.items()
  ]


def protocol(result: Evaluation, left_out: int) -> str:
  """Which rounds taught and which judge, as a phrase."""
  if result.num_train:
    taught = f'learnt from the first {result.num_train:,} rounds, frozen there'
    return f'{taught}; {left_out:,} taught another policy and are left out' if left_out else taught
  if left_out:
    given = left_out + len(result.rows)
    return f'{left_out:,} of the {given:,} rounds of the log taught it and are left out'
  return f'nothing to learn: valued on {result.condition or "all rounds"}'


def rows(name: str, result: Evaluation, left_out: int) -> list[dict[str, Any]]:
  """A row an estimator, as JSON."""
  words = (
    f'off-policy, {protocol(result, left_out)}; over {result.unit}; '
    f'the policy that logged earned {result.logged_mean:.6g}'
  )
  return [
    runs.estimate_row('evaluate_policy', name, label, value, words)
    | {
      'effective_sample_size': value.effective_sample_size,
      'max_weight': value.max_weight,
      'warning': value.warning,
      'truth': result.truth,
    }
    for label, value in result.values.items()
  ]


def effect_line(found: sensitivity.Effect) -> str:
  """What a policy earns more than another, and what hidden confounding could undo."""
  if found.gamma_of_interval == 1:
    reading = 'no conclusion, which hidden confounding could undo'
  elif found.gamma_of_interval == math.inf:
    reading = 'hidden confounding of no gamma up to 10,000 undoes its sign'
  else:
    reading = (
      f'its sign holds under hidden confounding of gamma below {found.gamma_of_interval:.3g}, that '
      f'of the estimate alone below {found.gamma:.3g}'
    )
  return f'{numbers.plain(found, sign=True)}; {reading}'


def advice(name: str, result: Evaluation, effect: Estimate) -> str:
  """One line: what the numbers allow to conclude.

  Args:
    name: of the policy.
    result: its values.
    effect: what it earns more than the policy that logged, paired: see `evaluation.effect`.
  """
  values = result.values
  if name == LOGGED:
    return 'all weights are 1 and ipw is the mean reward, as it must be: give another policy next'
  estimator = 'dr' if 'dr' in values else 'snipw'
  best = values[estimator]
  if best.warning:
    return (
      'do not decide by these numbers, of which none has an interval that holds as it says: log '
      'with more exploration near this policy first'
    )
  if 'dm' in values and not values['dm'].low <= best.value <= values['dm'].high:
    model = ' The reward model disagrees (dm): do not use it alone.'
  else:
    model = ''
  if effect.low > 0:
    reading = 'is better than the one that logged.'
  elif effect.high < 0:
    reading = 'is worse than the one that logged.'
  else:
    reading = 'cannot be told from the one that logged: log more rounds.'
  return f'by {estimator}, round by round, the policy {reading}{model}'


def _table(result: Evaluation) -> tuple[list[str], list[list[Cell]]]:
  columns = ['estimator', 'value [95 % interval]', 'effective sample size', 'largest weight']
  rows: list[list[Cell]] = [
    [label, value, round(value.effective_sample_size), value.max_weight]
    for label, value in result.values.items()
  ]
  if result.truth is not None:
    columns.append('holds the truth')
    for row, value in zip(rows, result.values.values(), strict=True):
      row.append(_holds(value, result.truth))
  return columns, rows


def _holds(value: PolicyValue, truth: float) -> str:
  return 'yes' if value.low <= truth <= value.high else 'no'
