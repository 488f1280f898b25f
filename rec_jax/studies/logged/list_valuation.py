"""Evaluating one policy on a log of ranked lists: what a list earns, by the estimators of slates.

Shape letters: n lists, L positions.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rec_jax import files
from rec_jax.data import ranked_lists
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.ranked_lists import RankedLists
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.registry import ESTIMATORS
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.studies.logged import list_policies, named_policies, paired_ranking
from rec_jax.studies.logged.evaluation import PLAIN, Reading
from rec_jax.studies.logged.list_estimates import (
  NAMES,
  ListEvaluation,
  cluster_of,
  effects,
  evaluate,
)
from rec_jax.studies.logged.log_checks import LOGGED
from rec_jax.types import InputError


def run(
  log: LoggedFeedback,
  path: str | Path,
  name: str,
  train_share: float,
  seed: int,
  figure: Path,
  out: Path | None,
  against: str,
  reading: Reading,
) -> None:
  """Prints the evaluation of a policy on a log of ranked lists and draws it.

  Args:
    log: in which `ranked_lists.has_lists`.
    path: its file.
    name: as in `list_policies.policy_of`; several, between commas, are ranked, with `against`.
    train_share: part of the log, from its beginning, that a policy learns from where one does.
    seed: of the folds and the bootstrap.
    figure: the SVG that is written.
    out: JSON with a row an estimator.
    against: 'logged', or likewise a policy, in place of which the first one is.
    reading: estimators and intervals; all estimators of single items stand for all of lists.

  Raises:
    InputError: bad input, one line that names the row.
  """
  reading = _of_lists(reading)
  lists = ranked_lists.from_rows(str(path), log)
  num_train = 0
  asked = named_policies.split(name)
  if list_policies.POPULAR in (*asked, against):
    num_train = round(train_share * len(lists.row))
    if not 0 < num_train < len(lists.row):
      raise InputError(f'--train_share: of {len(lists.row)} lists none is left; give more lists')
  flags = ['--policy'] * len(asked) + ['--against'] * (against != LOGGED)
  given = [*asked, *([] if against == LOGGED else [against])]
  policies = [
    list_policies.after(list_policies.policy_of(each, lists, path, num_train, flag), num_train)
    for flag, each in zip(flags, given, strict=True)
  ]
  marginal = list_policies.logged_marginal(lists, path)
  lists = list_policies.after(lists, num_train)
  marginal = None if marginal is None else marginal[num_train:]
  learnt = f'; {list_policies.POPULAR} learnt from the {num_train:,} before' if num_train else ''
  result, *others = (
    evaluate(lists, policy, marginal, seed, reading, flag)
    for policy, flag in zip(policies, flags, strict=True)
  )
  if len(asked) > 1:
    ranked = dict(zip(given, (result, *others), strict=True))
    _rank(lists, ranked, reading.level, learnt, figure, out)
    return
  other = others[0] if others else None
  gain = effects(lists, result, other, seed, reading)
  earned = float(lists.reward.sum(1).mean())
  drawn = figures.forest(name, {'value of a list': result.values}, reference=earned)
  what = 'value per list, the sum of its rewards'
  print(f'{name}, {what}: {len(lists.row):,} lists of up to {lists.row.shape[1]} positions{learnt}')
  print(terminal.table(*_table(result, gain, against, reading.level)))
  print(f'intervals: {100 * reading.level:g} %, {reading.interval}, over {result.unit}')
  print(f'logging policy on the same lists: {earned:.4g}')
  _warn('', result)
  if other is not None:
    _warn(f'{against}: ', other)
  if absent := [each for each in reading.names if each not in result.values]:
    print(f'left out, as the log does not give what they need: {", ".join(absent)}')
  if out is not None:
    files.write_json(out, _rows(name, result, f'{what}{learnt}', earned))
  files.write_atomic(figure, drawn.panels[0])
  print(f'figure: {figure}')


def _of_lists(reading: Reading) -> Reading:
  """The reading itself, with estimators of lists; raises if it asks for others."""
  names = NAMES if tuple(reading.names) == tuple(ESTIMATORS) else tuple(reading.names)
  for unknown in set(names) - set(NAMES):
    raise InputError(f'--estimators: {unknown} is not for ranked lists; choose {", ".join(NAMES)}')
  if reading.interval not in ('bootstrap', 't'):
    raise InputError(f'--interval: {reading.interval} is not for ranked lists; take bootstrap or t')
  if reading.model != PLAIN:
    raise InputError('--model: mrdr is not for ranked lists; leave it out')
  return dataclasses.replace(reading, names=names)


def _rank(
  lists: RankedLists,
  results: Mapping[str, ListEvaluation],
  level: float,
  learnt: str,
  figure: Path,
  out: Path | None,
) -> None:
  """Ranks policies by each estimator that values all of them, as each has an assumption."""
  shared = [each for each in NAMES if all(each in result.added for result in results.values())]
  if not shared:
    raise InputError('--policy: no estimator values all of these policies; give fewer')
  earned, cluster = lists.reward.sum(1), cluster_of(lists)
  ranked = {
    each: paired_ranking.of_values(
      {name: result.added[each] for name, result in results.items()}, earned, cluster, level
    )
    for each in shared
  }
  doubts = {
    name: '; '.join(dict.fromkeys(filter(None, (result.values[each].warning for each in shared))))
    for name, result in results.items()
  }
  said = f'value per list, the sum of its rewards: {len(lists.row):,} lists{learnt}'
  paired_ranking.report(ranked, doubts, said, level, figure, out)


def _warn(whose: str, result: ListEvaluation) -> None:
  """Prints each warning once, with the estimators that it concerns."""
  for warning in dict.fromkeys(value.warning for value in result.values.values()):
    labels = [label for label, value in result.values.items() if value.warning == warning]
    if warning:
      print(f'warning: {whose}{", ".join(labels)}: {warning}')


def _rows(name: str, result: ListEvaluation, what: str, earned: float) -> list[dict[str, Any]]:
  protocol = f'off-policy, {what}; over {result.unit}; the policy that logged earned {earned:.6g}'
  return [
    runs.estimate_row('evaluate_policy', name, label, value, protocol)
    | {
      'effective_sample_size': value.effective_sample_size,
      'max_weight': value.max_weight,
      'warning': value.warning,
    }
    for label, value in result.values.items()
  ]


def _table(
  result: ListEvaluation, gain: Mapping[str, Estimate], against: str, level: float
) -> tuple[list[str], list[list[Cell]]]:
  columns = [
    'estimator',
    f'value per list [{100 * level:g} % interval]',
    f'more than {against}',
    'effective sample size',
    'largest weight',
  ]
  rows: list[list[Cell]] = [
    [
      label,
      value,
      numbers.plain(gain[label], sign=True) if label in gain else '–',
      round(value.effective_sample_size),
      value.max_weight,
    ]
    for label, value in result.values.items()
  ]
  return columns, rows
