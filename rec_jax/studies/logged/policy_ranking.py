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
from rec_jax.evaluation import significance
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs
from rec_jax.studies.logged import evaluation
from rec_jax.studies.logged.evaluation import PLAIN, Evaluation
from rec_jax.types import InputError

# Halvings of a level, after which a p-value is exact to 1e-6.
_BISECTIONS = 20


@dataclasses.dataclass(frozen=True)
class Ranked:
  """A policy among others.

  Attributes:
    name: of the policy.
    gain: what it earns more than the policy that logged, a round.
    behind: what it earns more than the best, never positive; None for the best.
    p_value: of that difference, corrected by Holm (1979) for all pairs of policies; 1 for the best.
    truth: what it really earns, None where it is not known.
    lowest: mean of the lowest tenth of its rewards, None where rewards take two values.
  """

  name: str
  gain: Estimate
  behind: Estimate | None
  p_value: float
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
    evaluation.check_weight(f'--policy: {name}', each.rounds)
  gains = {name: evaluation.difference(log, each, None, level) for name, each in common.items()}
  names = sorted(common, key=lambda name: -gains[name].value)
  corrected = significance.holm_against_best(
    names, lambda left, right: _p_value(log, common[left], common[right])
  )
  best = names[0]
  lowest = {
    name: pair[0]
    for name, each in common.items()
    if (pair := evaluation.lowest(log, each, level)) is not None
  }
  return [
    Ranked(
      name,
      gains[name],
      None if name == best else evaluation.difference(log, common[name], common[best], level),
      1.0 if name == best else corrected[name],
      results[name].truth,
      lowest.get(name),
    )
    for name in names
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
  if out is not None:
    files.write_json(out, _rows(ranked, doubts, said))
  files.write_atomic(figure, drawn.panels[0])
  print(f'advice: {_advice(ranked, doubts, level)}\nfigure: {figure}')


def _protocol(results: Mapping[str, Evaluation]) -> str:
  rows = functools.reduce(np.intersect1d, [result.rows for result in results.values()])
  model = next(iter(results.values())).model
  by = '' if model == PLAIN else f'; model of the reward by {model}, for each of them'
  return f'on the {len(rows):,} rounds that judge all of them{by}'


def _table(ranked: Sequence[Ranked], level: float) -> tuple[list[str], list[list[Cell]]]:
  percent = f'{100 * level:g} %'
  columns = ['policy', f'minus logged [{percent}]', f'minus best [{percent}]', 'corrected p']
  rows: list[list[Cell]] = [
    [
      each.name,
      numbers.plain(each.gain, sign=True),
      '–' if each.behind is None else numbers.plain(each.behind, sign=True),
      '–' if each.behind is None else f'{each.p_value:.2g}',
    ]
    for each in ranked
  ]
  if ranked[0].lowest is not None:
    columns.append('lowest tenth')
    for row, each in zip(rows, ranked, strict=True):
      row.append(each.lowest)
  return columns, rows


def _rows(ranked: Sequence[Ranked], doubts: Mapping[str, str], said: str) -> list[dict[str, Any]]:
  """As in metrics.json, with the place, the corrected p-value, the warning and the truth beside."""
  rows = []
  for place, each in enumerate(ranked, start=1):
    beside = {'rank': place, 'warning': doubts[each.name], 'truth': each.truth}
    found_of = {
      'minus logged': (each.gain, None),
      'minus best': (each.behind, each.p_value),
      evaluation.LOWEST_TENTH: (each.lowest, None),
    }
    rows += [
      runs.estimate_row('evaluate_policy', each.name, metric, found, f'off-policy, {said}')
      | beside
      | {'corrected_p': p_value}
      for metric, (found, p_value) in found_of.items()
      if found is not None
    ]
  return rows


def _advice(ranked: Sequence[Ranked], doubts: Mapping[str, str], level: float) -> str:
  best, *others = ranked
  if doubts[best.name]:
    return (
      f'none: {best.name} is first, and its interval does not hold as it says; log with more '
      'exploration near it first'
    )
  sure = [each.name for each in others if each.p_value < 1 - level and not doubts[each.name]]
  beaten = ', '.join(sure) if sure else 'none of the others for sure'
  return f'{best.name} is first; it is better than {beaten}'


def _on(result: Evaluation, rows: np.ndarray) -> Evaluation:
  at = np.searchsorted(result.rows, rows)
  rounds = jax.tree.map(lambda leaf: np.asarray(leaf)[at], result.rounds)
  return dataclasses.replace(result, rows=rows, rounds=rounds)


def _p_value(log: LoggedFeedback, result: Evaluation, other: Evaluation) -> float:
  """One minus the level at which the interval of the difference ends at 0."""
  low, high = 0.0, 1.0
  for _ in range(_BISECTIONS):
    level = (low + high) / 2
    found = evaluation.difference(log, result, other, level)
    if found.low <= 0 <= found.high:
      high = level
    else:
      low = level
  return 1 - low
