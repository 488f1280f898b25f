"""Evaluating one policy on one log from the command line: a table, a figure, a line of advice."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.data import ranked_lists
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.off_policy.evaluate import ASYMPTOTIC
from rec_jax.evaluation.off_policy.registry import ESTIMATORS
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.studies.logged import (
  conclusion,
  effects,
  evaluation,
  list_valuation,
  log_checks,
  named_policies,
  policy_checkpoint,
  policy_ranking,
  policy_value,
  propensities,
)
from rec_jax.studies.logged.evaluation import MRDR, PLAIN, Evaluation, Reading
from rec_jax.studies.logged.policy_checkpoint import FrozenPolicy
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
  reading: Reading = policy_value.ALL,
) -> None:
  """Prints the evaluation of a policy on a log and draws it.

  Args:
    path: of a log, see `data.logged`.
    name: as in `policy_value.evaluate_policy`, or in `own_policy.probabilities`. Several, between
      commas, are ranked instead, with `against` among them, see `policy_ranking.report`.
    train_share: part of the log, from its beginning, that the policy learns from; in (0, 1).
    seed: of the policy, the folds and the bootstrap.
    figure: the SVG that is written.
    out: JSON with a row an estimator, as in metrics.json, with overlap and truth beside it.
    against: likewise a policy, in place of which the first one is.
    reading: estimators and intervals.

  Raises:
    InputError: bad input, one line that names the row.
  """
  log_checks.check_settings(train_share, seed, reading.level)
  for flag, file in (('figure', figure), ('out', out)):
    if file is not None and not file.parent.is_dir():
      raise InputError(f'--{flag}: no directory {file.parent}')
    if file is not None and file.is_dir():
      raise InputError(f'--{flag}: {file} is a directory; name a file in it')
  if reading.interval not in ASYMPTOTIC:
    raise InputError(f'--interval: {reading.interval} is not one of {", ".join(ASYMPTOTIC)}')
  if reading.propensities not in propensities.SOURCES:
    raise InputError(
      f'--propensities: {reading.propensities} is not one of {", ".join(propensities.SOURCES)}'
    )
  check_model(reading)
  whole, doubt = propensities.load(path, reading.propensities, seed)
  if ranked_lists.has_lists(whole):
    list_valuation.run(whole, path, name, train_share, seed, figure, out, against, reading)
    return
  for unknown in set(reading.names) - set(ESTIMATORS):
    raise InputError(f'--estimators: {unknown} is not one of {", ".join(ESTIMATORS)}')
  names = named_policies.split(name, whole.item_ids)
  reading = dataclasses.replace(reading, doubt=doubt)
  given = [*names, *([] if against == LOGGED else [against])]
  flags = ['--policy'] * len(names) + ['--against']
  asked = [
    named_policies.named(each, whole, path, flag) for each, flag in zip(given, flags, strict=False)
  ]
  log = policy_checkpoint.without_lessons(
    whole, [each for each in asked if isinstance(each, FrozenPolicy)]
  )
  kept = np.searchsorted(whole.round, log.round)
  results = [
    policy_value.evaluate_policy(
      log, each[kept] if isinstance(each, np.ndarray) else each, train_share, seed, reading, flag
    )
    for each, flag in zip(asked, flags, strict=False)
  ]
  how = propensities.description(reading.propensities, whole)
  if len(names) > 1:
    ranked = dict(zip(given, results, strict=True))
    policy_ranking.report(log, ranked, reading.level, how, figure, out)
    return
  left_out = len(whole.action) - len(log.action)
  other = results[1] if len(results) > 1 else None
  report(log, name, results[0], left_out, figure, out, against, other, reading.level, how)


def check_model(reading: Reading) -> None:
  """Raises InputError for a model that there is not, or that does not go with the propensities."""
  if reading.model not in (PLAIN, MRDR):
    raise InputError(f'--model: {reading.model} is not one of {PLAIN}, {MRDR}')
  if reading.model == MRDR and reading.propensities == propensities.BALANCED:
    raise InputError('--model: mrdr needs propensities, not balanced weights; take estimated ones')


def report(
  log: LoggedFeedback,
  name: str,
  result: Evaluation,
  left_out: int,
  figure: Path,
  out: Path | None = None,
  against: str = policy_value.LOGGED,
  other: Evaluation | None = None,
  level: float = 0.95,
  how: str = '',
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
    level: of the intervals.
    how: propensities were found, empty where the log holds them.
  """
  # What may fail comes before what is said or written.
  plain = effects.effect(log, result, level=level)
  found = plain if other is None else effects.effect(log, result, other, level=level)
  lowest = evaluation.lowest(log, result, level)
  gap = evaluation.model_gap(log, result, level)
  near = effects.doubt(log, result) if name != LOGGED else ''
  far = near if other is None else effects.doubt(log, result, other)
  label = f'value, {how.partition(" by ")[0]}' if how else 'value of the policy'
  drawn = figures.forest(name, {label: result.values}, reference=result.logged_mean)
  said = '; '.join(filter(None, (protocol(result, left_out), how)))
  print(f'{name}, {said}')
  print(terminal.table(*_table(result, level)))
  interval = next(iter(result.values.values())).interval
  print(f'intervals: {100 * level:g} %, {interval}, over {result.unit}')
  evaluation.print_notes(log, interval)
  if result.truth is not None:
    print(f'truth, from the known reward of every candidate: {result.truth:.4g}')
  print(f'logging policy on the same rounds: {result.logged_mean:.4g}')
  if gap is not None:
    print(f'dr minus dm: {numbers.plain(gap, sign=True)}')
  if lowest is not None:
    mine, theirs = map(numbers.plain, lowest)
    print(f'lowest tenth of rewards: {mine}, of the logging policy {theirs}')
  for line in warnings(result):
    print(f'warning: {line}')
  if other is not None and evaluation.doubt(other):
    print(f'warning: {against}: {evaluation.doubt(other)}')
  for whose, line in {LOGGED: near, against: far}.items():
    if line:
      print(f'warning: effect over {whose}: {line}')
  if out is not None:
    worst = [
      runs.estimate_row('evaluate_policy', whose, evaluation.LOWEST_TENTH, found, said)
      for whose, found in zip((name, LOGGED), lowest or (), strict=False)
    ]
    files.write_json(out, rows(name, result, said) + worst)
  if name != LOGGED or other is not None:
    print(f'effect of {name} in place of {against}: {conclusion.effect_line(found)}')
  if how:
    print(
      'note: propensities are estimated from what the log holds; if the policy that logged saw '
      'more, go by gamma'
    )
  files.write_atomic(figure, drawn.panels[0])
  print(f'advice: {conclusion.advice(name, result, plain, gap, near)}\nfigure: {figure}')


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
  """Which rounds taught and which judge, and by which model, as a phrase."""
  if result.num_train:
    said = f'learnt from the first {result.num_train:,} rounds, frozen there'
    if left_out:
      said += f'; {left_out:,} taught another policy and are left out'
  elif left_out:
    given = left_out + len(result.rows)
    said = f'{left_out:,} of the {given:,} rounds of the log taught it and are left out'
  else:
    said = f'nothing to learn: valued on {result.condition or "all rounds"}'
  return said if result.model == PLAIN else f'{said}; model of the reward by {result.model}'


def rows(name: str, result: Evaluation, said: str) -> list[dict[str, Any]]:
  """A row an estimator, as JSON, with a protocol that says which rounds and propensities."""
  words = (
    f'off-policy, {said}; over {result.unit}; '
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


def _table(result: Evaluation, level: float) -> tuple[list[str], list[list[Cell]]]:
  columns = [
    'estimator',
    f'value [{100 * level:g} % interval]',
    'effective sample size',
    'largest weight',
  ]
  rows: list[list[Cell]] = [
    [label, value, round(value.effective_sample_size), value.max_weight]
    for label, value in result.values.items()
  ]
  if result.truth is not None:
    columns.append('holds the truth')
    for row, value in zip(rows, result.values.values(), strict=True):
      holds = 'yes' if value.low <= result.truth <= value.high else 'no'
      row.append(None if math.isnan(value.low) else holds)
  return columns, rows
