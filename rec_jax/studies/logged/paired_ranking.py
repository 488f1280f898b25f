"""Ranking of policies by paired differences: which is best, and how sure that is.

P-values are corrected for all pairs, so that the best may be chosen by the same rounds.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.evaluation import significance
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.report import figures, numbers, terminal
from rec_jax.report.numbers import Cell
from rec_jax.runs import workdir as runs

# Halvings of a level, after which a p-value is exact to 1e-6.
_BISECTIONS = 20
# (a policy, another or None for the one that logged, level) -> what the one earns more.
Difference = Callable[[str, str | None, float], Estimate]


@dataclasses.dataclass(frozen=True)
class Place:
  """A policy among others.

  Attributes:
    name: of the policy.
    gain: what it earns more than the policy that logged, a round.
    behind: what it earns more than the best, never positive; None for the best.
    p_value: of that difference, corrected by Holm (1979) for all pairs of policies; 1 for the best.
  """

  name: str
  gain: Estimate
  behind: Estimate | None
  p_value: float


def places(names: Sequence[str], difference: Difference, level: float) -> list[Place]:
  """Policies, at least two, from the best to the worst; intervals of each by itself."""
  gains = {name: difference(name, None, level) for name in names}
  ordered = sorted(names, key=lambda name: -gains[name].value)
  corrected = significance.holm_against_best(
    ordered, lambda left, right: _p_value(lambda level: difference(left, right, level))
  )
  best, *others = ordered
  return [
    Place(best, gains[best], None, 1.0),
    *(Place(name, gains[name], difference(name, best, level), corrected[name]) for name in others),
  ]


def of_values(
  added: Mapping[str, np.ndarray], earned: np.ndarray, cluster: np.ndarray | None, level: float
) -> list[Place]:
  """The same from what each unit [n] adds to the value of each policy, by Student's intervals.

  Args:
    added: name -> [n].
    earned: [n] under the policy that logged.
    cluster: [n] which units depend on each other, None for none.
    level: of the intervals.
  """

  def difference(name: str, other: str | None, level: float) -> Estimate:
    apart = added[name] - (earned if other is None else added[other])
    return corrected_t(summed(apart, cluster), level=level)

  return places(list(added), difference, level)


def report(
  ranked: Mapping[str, Sequence[Place]],
  doubts: Mapping[str, str],
  said: str,
  level: float,
  figure: Path,
  out: Path | None,
) -> None:
  """Prints rankings of the same policies, writes and draws them.

  Args:
    ranked: label -> ranking by the estimator of this name; by one of them advice is given.
    doubts: name -> warning, empty where there is none.
    said: on what, as a phrase.
    level: of the intervals.
    figure: the SVG of what each policy earns more than the one that logged.
    out: JSON with the rows of a policy.
  """
  gains = {label: {each.name: each.gain for each in order} for label, order in ranked.items()}
  drawn = figures.forest('minus the policy that logged', gains, reference=0.0)
  print(f'{len(doubts)} policies, {said}')
  for label, order in ranked.items():
    print(f'by {label}')
    print(terminal.table(*table(order, level)))
  print(f'p-values hold for all pairs of {len(doubts)} policies at once (Holm)')
  for name, doubt in doubts.items():
    if doubt:
      print(f'warning: {name}: {doubt}')
  if out is not None:
    files.write_json(
      out,
      [
        row
        for label, order in ranked.items()
        for row in rows(order, doubts, f'{said}, by {label}', {})
      ],
    )
  files.write_atomic(figure, drawn.panels[0])
  if len(ranked) == 1:
    print(f'advice: {advice(next(iter(ranked.values())), doubts, level)}')
  print(f'figure: {figure}')


def table(ranked: Sequence[Place], level: float) -> tuple[list[str], list[list[Cell]]]:
  """(columns, a row a policy)."""
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
  return columns, rows


def rows(
  ranked: Sequence[Place],
  doubts: Mapping[str, str],
  said: str,
  beside: Mapping[str, dict[str, Any]],
) -> list[dict[str, Any]]:
  """As in metrics.json, with the place, the corrected p-value and the warning beside.

  Args:
    ranked: from the best to the worst.
    doubts: name -> warning.
    said: on what, as a phrase.
    beside: name -> what else each row of a policy holds.
  """
  found = []
  for place, each in enumerate(ranked, start=1):
    common = {'rank': place, 'warning': doubts[each.name]} | beside.get(each.name, {})
    for metric, estimate, p_value in (
      ('minus logged', each.gain, None),
      ('minus best', each.behind, each.p_value),
    ):
      if estimate is not None:
        row = runs.estimate_row(
          'evaluate_policy', each.name, metric, estimate, f'off-policy, {said}'
        )
        found.append(row | common | {'corrected_p': p_value})
  return found


def advice(ranked: Sequence[Place], doubts: Mapping[str, str], level: float) -> str:
  """One line: which of the others the first is better than for sure."""
  best, *others = ranked
  if doubts[best.name]:
    return (
      f'none: {best.name} is first, and its interval does not hold as it says; log with more '
      'exploration near it first'
    )
  sure = [each.name for each in others if each.p_value < 1 - level and not doubts[each.name]]
  beaten = ', '.join(sure) if sure else 'none of the others for sure'
  return f'{best.name} is first; it is better than {beaten}'


def _p_value(interval_at: Callable[[float], Estimate]) -> float:
  """One minus the level at which the interval of the difference ends at 0."""
  low, high = 0.0, 1.0
  for _ in range(_BISECTIONS):
    level = (low + high) / 2
    found = interval_at(level)
    if found.low <= 0 <= found.high:
      high = level
    else:
      low = level
  return 1 - low
