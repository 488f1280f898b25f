"""What the policies did, as sections of the report: reward, regret, and what was shown."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from rec_jax.evaluation import intervals
from rec_jax.report import exploration_figure, figures, wording
from rec_jax.report.exploration_figure import Balance, Frontier
from rec_jax.report.figures import Curve
from rec_jax.report.numbers import Cell
from rec_jax.report.page import Section, Table
from rec_jax.report.style import Figure
from rec_jax.runs import run_results
from rec_jax.runs.run_results import Results
from rec_jax.stages.explore import exploration_findings
from rec_jax.stages.explore.worlds import CATALOGUE, OWN, RATED

Json = Mapping[str, Any]

# Curves that can be told apart in one figure.
_MAX_CURVES = 7
_COLD_SHARE = 'exposure on cold items, %'

_ABOUT = {
  CATALOGUE: 'At every visit of a user one item is recommended, out of all that the user '
  'has no event with before the cut and has not been shown. The reward is 1 if the user really '
  'liked that item after the cut, else 0. Hardly anything is known about most users at first, so a '
  'policy has to find out what they like while it is judged.',
  RATED: 'At every visit of a user one item is recommended, out of those that the '
  'user really met after the cut. The reward of every candidate is known, so regret is exact: what '
  'the best candidate would have earned less what the chosen one earned.',
  OWN: 'At every visit of a user one item is recommended, out of those whose reward is known and '
  'that the user has not been shown. No feedback is known at first, so a policy has to find out '
  'what users like while it is judged. For want of an earlier stream no settings were tuned: each '
  'policy has the first of its grid.',
}


def sections(found: Results) -> Iterator[Section]:
  """One section for each environment, and one for cold start and payoff."""
  for environment in found.exploration['environments']:
    yield environment_section(environment)
  tables = [*_cold_start(found.exploration['cold_start']), *_payoff(found.exploration['payoff'])]
  if tables:
    yield Section(
      'Starting cold, and whether exploring pays',
      'How far does text alone carry a policy that has learnt nothing from users? And does what '
      'exploring costs in the first half of the stream come back in the second?',
      tables,
    )


def environment_section(environment: Json) -> Section:
  """The tables and figures of one environment."""
  name = environment['name']
  policies = _best_first(environment)
  if not policies:
    return Section(
      f'Exploration: {name}', f'Nothing could be rolled out: {environment["protocol"]}.'
    )
  pictures = [_balance(environment, policies)]
  if all(len(policy['curve']['round']) > 1 for policy in policies):
    pictures.append(_regret(environment, policies))
  tables = [policy_table(environment), *_new_user_tables(policies)]
  return Section(f'Exploration: {name}', _ABOUT.get(name, ''), tables, pictures)


def policy_table(environment: Json) -> Table:
  """Every policy of an environment, best reward first."""
  policies, baseline = _best_first(environment), environment['baseline']
  columns = {
    'reward': 'reward a visit',
    'difference': f'less {baseline}',
    'regret': 'regret a visit',
    'distinct_items': 'distinct items',
    'items_10_exposures': 'items shown ≥ 10 times',
  }
  note = (
    f'Reward: the mean over visits. Less {baseline}: the difference paired by user. Regret: what '
    'the best candidate would have earned less the reward. Distinct items: how many items were '
    'shown at all in a run.'
  )
  if 'cold_share' in policies[0]:
    columns['cold_share'] = _COLD_SHARE
    note += (
      ' Exposure on cold items: the share of all recommendations that went to items without an '
      'event before the cut, with a two-way interval over users and items.'
    )
  return Table(
    'Policies, best reward first',
    ['policy', *columns.values()],
    [_row(policy, columns) for policy in policies],
    f'{note} {wording.sentence(environment["protocol"])}',
  )


def _best_first(environment: Json) -> list[Json]:
  return sorted(environment['policies'], key=lambda policy: -policy['reward']['value'])


def _new_user_tables(policies: list[Json]) -> Iterator[Table]:
  columns = {
    'reward_new_users': 'reward a visit',
    'distinct_items_new_users': 'distinct items',
  }
  if 'cold_share_new_users' in policies[0]:
    columns['cold_share_new_users'] = _COLD_SHARE
  if all(policies[0].get(key) for key in columns):
    yield Table(
      'The same for new users alone',
      ['policy', *columns.values()],
      [_row(policy, columns) for policy in policies],
      'Users without any event before the cut: nothing is known of them at their first visit.',
    )


def _row(policy: Json, columns: Iterable[str]) -> list[Cell]:
  """The name of a policy and some of its numbers, shares in per cent."""
  values = {
    key: _scaled(policy[key], 100) if key.startswith('cold_share') else policy[key]
    for key in columns
  }
  return [exploration_findings.title(policy), *(_cell(key, value) for key, value in values.items())]


def _cell(key: str, value: Json | None) -> Cell:
  """A cell; the difference of a baseline to itself says nothing."""
  if key == 'difference' and value and value['low'] == value['high'] == 0:
    return None
  return run_results.cell(value)


def _scaled(value: Json, factor: float) -> Json:
  known = {key: value[key] for key in ('value', 'low', 'high') if value[key] is not None}
  return {**value, **{key: factor * number for key, number in known.items()}}


def _balance(environment: Json, policies: list[Json]) -> Figure:
  groups = {
    'none': 'no features',
    'student': 'features of the student',
    'teacher': 'features of the teacher',
    'own': 'the given vectors',
  }
  grouped = {
    label: {policy['name']: _point(policy) for policy in policies if policy['features'] == key}
    for key, label in groups.items()
  }
  return exploration_figure.reward_against_exploration(
    f'Reward against exploration: {environment["name"]}',
    {label: members for label, members in grouped.items() if members},
    [_frontier(frontier) for frontier in environment['frontiers']],
    reward_label='reward a visit',
    caption='Up is more reward, right is more exploration; best is the upper right. Bars are 95 % '
    'intervals. A line is one family of policies at rising strength of exploration, with the '
    'weakest and the strongest setting written at its ends.',
  )


def _frontier(frontier: Json) -> Frontier:
  points = frontier['points']
  return Frontier(
    f'{frontier["name"]}, by {frontier["strength"]}',
    [f'{point["strength"]:g}' for point in points],
    [_point(point) for point in points],
  )


def _point(policy: Json) -> Balance:
  keys = ('reward', 'distinct_items', 'cold_share')
  return Balance(*(intervals.from_json(policy[key]) for key in keys if key in policy))


def _regret(environment: Json, policies: list[Json]) -> Figure:
  """The curves of the best policies, of the baseline and of the worst, which scales the others."""
  baseline = [policy for policy in policies if policy['name'] == environment['baseline']]
  shown = baseline + [policy for policy in policies if policy not in baseline]
  if len(shown) > _MAX_CURVES:
    shown = [*shown[: _MAX_CURVES - 1], shown[-1]]
  panels = {
    label: {exploration_findings.title(policy): _curve(policy['curve'], key) for policy in shown}
    for key, label in (('regret', 'regret up to this round'), ('reward', 'mean reward'))
  }
  caption = (
    f'Bands are 95 % intervals over {environment["seeds"]} seeds. Shown are '
    f'{environment["baseline"]}, the best policies by reward, and the worst one; the tables hold '
    'all of them.'
  )
  title = f'Regret and reward by round: {environment["name"]}'
  return figures.curves(title, panels, xlabel='round', caption=caption)


def _curve(curve: Json, key: str) -> Curve:
  bounds = [
    None if curve[key][end] is None else np.array(curve[key][end], float) for end in ('low', 'high')
  ]
  return Curve(np.array(curve['round']), np.array(curve[key]['value'], float), *bounds)


def _cold_start(part: Json | None) -> Iterator[Table]:
  if part and part['rows']:
    columns = {
      'reward': 'reward a visit',
      'difference': 'difference, paired by user',
      'distinct_items': 'distinct items',
      'items_10_exposures': 'items shown ≥ 10 times',
    }
    yield _rows_table('Cold start: nothing learnt before the cut', part, columns)


def _payoff(part: Json | None) -> Iterator[Table]:
  if part and part['rows']:
    columns = {
      'first_half': 'reward a visit, first half',
      'second_half': 'second half',
      'difference': 'difference in the second half, paired by user',
    }
    yield _rows_table('Payoff: explore first, then exploit', part, columns)


def _rows_table(title: str, part: Json, columns: Mapping[str, str]) -> Table:
  rows = [[row['name'], *(_cell(key, row[key]) for key in columns)] for row in part['rows']]
  note = (
    'Rewards are means over visits; differences are paired by user, to the policy without one. '
    f'{wording.sentence(part["protocol"])}'
  )
  return Table(title, ['policy', *columns.values()], rows, note)
