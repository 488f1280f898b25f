"""What off-policy estimates say beside the truth, as a section of the report and a sentence."""

from collections.abc import Iterator, Mapping
from typing import Any

from rec_jax.report import wording
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Section, Table
from rec_jax.runs import run_results

Json = Mapping[str, Any]

_LABELS = {
  'ipw': 'IPW',
  'snipw': 'SNIPW',
  'dm': 'DM',
  'dr': 'DR',
  'sndr': 'SNDR',
  'dr_os': 'DRos, SLOPE',
}


def sections(part: Json) -> Iterator[Section]:
  """The section, where there is anything to show."""
  if part['rows']:
    yield Section(
      'Off-policy estimates beside the truth',
      'What would another policy have earned, judged from the log of the one that explored? Each '
      'estimator answers with a 95 % interval. Here the reward of every candidate is known, so the '
      'answer can be checked.\n\n' + conclusion(part),
      [_policies(part), _estimators(part)],
    )


def conclusion(part: Json) -> str:
  """One sentence: how many intervals hold the truth, and of which estimators all or not all do."""
  held = _held(part)
  total = sum(len(rows) for rows in held.values())
  if total == 0:
    return 'No policy can be valued from the log: none of their choices are in it.'
  always = [_LABELS[name] for name, rows in held.items() if all(rows)]
  others = [
    f'{_LABELS[name]} ({sum(rows)} of {len(rows)})' for name, rows in held.items() if not all(rows)
  ]
  listed = [f'all of {", ".join(always)}'] if always else []
  listed += [f'not all of {", ".join(others)}'] if others else []
  return (
    f'Valued from the log of an exploring policy, {sum(map(sum, held.values()))} of {total} '
    f'intervals hold the true value of the policy: {"; ".join(listed)}.'
  )


def _policies(part: Json) -> Table:
  columns = ['policy', 'truth', *_LABELS.values(), 'miss the truth', 'effective sample size']
  rows: list[list[Cell]] = []
  for row in part['rows']:
    estimates = [run_results.cell(row['estimates'].get(name)) for name in _LABELS]
    missed = [label for name, label in _LABELS.items() if not _holds(row, name)]
    names = ', '.join(missed) or 'none'
    if not row['estimates']:
      names = 'no overlap'
    size = round(row['effective_sample_size'])
    rows.append([row['name'], row['truth']['value'], *estimates, names, size])
  poor = [row['name'] for row in part['rows'] if row['warning']]
  warned = f' Poor overlap with the log: {", ".join(poor)}.' if poor else ''
  return Table(
    'Reward a visit of each policy: the truth, and what each estimator says',
    columns,
    rows,
    'IPW: inverse propensity weighting; SN: self-normalised; DM: the reward model alone; DR: '
    'doubly robust; DRos: DR with optimistic shrinkage. Effective sample size: how many rounds of '
    f'the policy itself the log is worth.{warned} {wording.sentence(part["protocol"])}',
  )


def _estimators(part: Json) -> Table:
  rows: list[list[Cell]] = []
  for name, held in _held(part).items():
    found = [row for row in part['rows'] if name in row['estimates']]
    errors = [abs(row['estimates'][name]['value'] - row['truth']['value']) for row in found]
    known = [row['estimates'][name] for row in found if row['estimates'][name]['low'] is not None]
    widths = [estimate['high'] - estimate['low'] for estimate in known]
    share = f'{sum(held)} of {len(held)}'
    rows.append([_LABELS[name], share, _mean(errors), _mean(widths)])
  return Table(
    'The estimators, over these policies',
    ['estimator', 'intervals that hold the truth', 'mean error', 'mean width of the interval'],
    rows,
    'Mean error: mean distance to the truth. The bias of a reward model or of shrinkage is not in '
    'an interval, so a narrow one may well miss. The policies are valued from one log, so their '
    'errors are alike; intervals are over users, which is wider than the chance of actions alone.',
  )


def _held(part: Json) -> dict[str, list[bool]]:
  """Estimator -> whether its interval holds the truth, for each policy that could be valued."""
  valued = [row for row in part['rows'] if row['estimates']]
  return {name: [_holds(row, name) for row in valued] for name in _LABELS}


def _holds(row: Json, name: str) -> bool:
  estimate = row['estimates'].get(name)
  if estimate is None or estimate['low'] is None:
    return False
  return bool(estimate['low'] <= row['truth']['value'] <= estimate['high'])


def _mean(values: list[float]) -> float | None:
  return sum(values) / len(values) if values else None
