"""Several policies valued on the same rounds of a log: which is best, and how sure that is.

Differences are paired, round by round, doubly robust where all policies have a model of the reward.
P-values are corrected for all pairs, so that the best may be chosen by the same rounds.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.stats

from rec_jax import files
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.studies.logged import effects, evaluation, paired_ranking
from rec_jax.studies.logged.evaluation import PLAIN, Evaluation
from rec_jax.studies.logged.paired_ranking import Place
from rec_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Ranked(Place):
  """A policy among others, see `Place`.

  Attributes:
    truth: what it really earns, None where it is not known.
    lowest: mean of the lowest tenth of its rewards, None where rewards take two values.
  """

  truth: float | None
  lowest: Estimate | None


def rank(
  log: LoggedFeedback, results: Mapping[str, Evaluation], level: float = 0.95
) -> list[Ranked]:
  """Policies from the best to the worst, by the rounds that judge all of them.

  Args:
    log: the one of the evaluations.
    results: name -> evaluation, at least two.
    level: of the intervals, of each by itself.

  Raises:
    InputError: no round judges all of them, or one takes no logged action of these rounds.
  """
  rows = functools.reduce(np.intersect1d, [result.rows for result in results.values()])
  if rows.size == 0:
    raise InputError('--policy: no round of the log judges all of these policies; give fewer')
  common = {name: _on(result, rows) for name, result in results.items()}
  for name, each in common.items():
    effects.check_weight(f'--policy: {name}', each.rounds)

  def difference(name: str, other: str | None, level: float) -> Estimate:
    return effects.difference(log, common[name], None if other is None else common[other], level)

  lowest = {
    name: pair[0]
    for name, each in common.items()
    if (pair := evaluation.lowest(log, each, level)) is not None
  }
  return [
    Ranked(**vars(place), truth=results[place.name].truth, lowest=lowest.get(place.name))
    for place in paired_ranking.places(list(common), difference, level)
  ]


def selection(truth: Sequence[float]) -> tuple[float, float]:
  """(regret at 1, rank correlation) of a ranking, from true values in its order, best first.

  The first is what the policy that is chosen earns less than the one that is best, the second
  Spearman's, NaN where all values are the same: as SCOPE-RL reports them (Kiyohara et al. 2023).
  """
  values = np.asarray(truth, np.float64)
  regret = float(values.max() - values[0])
  if np.ptp(values) == 0:
    return regret, float('nan')
  return regret, float(scipy.stats.spearmanr(-np.arange(len(values)), values).statistic)


def report(
  log: LoggedFeedback,
  results: Mapping[str, Evaluation],
  level: float,
  how: str,
  figure: Path,
  out: Path | None,
) -> None:
  """Prints the ranking, and how good it is where the truth is known, and draws it.

  Args:
    log: whose rounds gave the evaluations.
    results: name -> evaluation, at least two.
    level: of the intervals.
    how: propensities were found, empty where the log holds them.
    figure: the SVG of what each policy earns more than the one that logged.
    out: JSON with the rows of a policy: what it earns more than the one that logged and than the
      best, and the lowest tenth of its rewards.
  """
  # What may fail comes before what is said or written.
  ranked = rank(log, results, level)
  label = ', '.join(filter(None, ('minus the policy that logged', how.partition(' by ')[0])))
  gains = {each.name: each.gain for each in ranked}
  drawn = figures.forest('policies', {label: gains}, reference=0.0)
  said = '; '.join(filter(None, (_protocol(results), how)))
  print(f'{len(ranked)} policies, {said}')
  print(terminal.table(*_table(ranked, level)))
  print(f'p-values hold for all pairs of {len(ranked)} policies at once (Holm)')
  evaluation.print_notes(log, 't')
  truth = [each.truth for each in ranked if each.truth is not None]
  # A mean over other rounds would be of other contexts.
  if len(truth) == len(ranked) and len({len(each.rows) for each in results.values()}) == 1:
    regret, correlation = selection(truth)
    print(f'truth: regret at 1 {regret:.4g}, rank correlation {correlation:.2f}')
  doubts = {each.name: evaluation.doubt(results[each.name]) for each in ranked}
  for name, doubt in doubts.items():
    if doubt:
      print(f'warning: {name}: {doubt}')
  best = ranked[0].name
  for each in ranked:
    others = {'logged': None} | ({} if each.name == best else {best: results[best]})
    for whose, other in others.items():
      if near := effects.doubt(log, results[each.name], other):
        print(f'warning: {each.name} minus {whose}: {near}')
        if other is not None:
          doubts[each.name] = '; '.join(filter(None, (doubts[each.name], near)))
  if out is not None:
    files.write_json(out, _rows(ranked, doubts, said))
  files.write_atomic(figure, drawn.panels[0])
  print(f'advice: {paired_ranking.advice(ranked, doubts, level)}\nfigure: {figure}')


def _protocol(results: Mapping[str, Evaluation]) -> str:
  rows = functools.reduce(np.intersect1d, [result.rows for result in results.values()])
  model = next(iter(results.values())).model
  by = '' if model == PLAIN else f'; model of the reward by {model}, for each of them'
  return f'on the {len(rows):,} rounds that judge all of them{by}'


def _table(ranked: Sequence[Ranked], level: float) -> tuple[list[str], list[list[Cell]]]:
  columns, rows = paired_ranking.table(ranked, level)
  if ranked[0].lowest is not None:
    columns.append('lowest tenth')
    for row, each in zip(rows, ranked, strict=True):
      row.append(each.lowest)
  return columns, rows


def _rows(ranked: Sequence[Ranked], doubts: Mapping[str, str], said: str) -> list[dict[str, Any]]:
  """Those of the ranking, with the truth, and rows of the lowest rewards."""
  beside = {each.name: {'truth': each.truth} for each in ranked}
  lowest = [
    runs.estimate_row(
      'evaluate_policy', each.name, evaluation.LOWEST_TENTH, each.lowest, f'off-policy, {said}'
    )
    | {'rank': place, 'warning': doubts[each.name], 'truth': each.truth, 'corrected_p': None}
    for place, each in enumerate(ranked, start=1)
    if each.lowest is not None
  ]
  return paired_ranking.rows(ranked, doubts, said, beside) + lowest


def _on(result: Evaluation, rows: np.ndarray) -> Evaluation:
  at = np.searchsorted(result.rows, rows)
  rounds = jax.tree.map(lambda leaf: np.asarray(leaf)[at], result.rounds)
  return dataclasses.replace(result, rows=rows, rounds=rounds)
