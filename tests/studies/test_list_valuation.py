"""Ranked lists on the command line: the value of every list is known, and what is bad is named."""

import itertools
import json
import re

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged, ranked_lists
from rec_jax.studies.logged import list_policies, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.studies.logged.list_estimates import NAMES
from rec_jax.types import InputError

NUM_ITEMS, NUM_POSITIONS = 4, 2
T = Reading(interval='t')


def world(num_lists=4_000, seed=0, logger='uniform'):
  """A log of lists without repetition, and the exact value of the policy in its columns.

  Rewards are sums of parts, so that every estimator is unbiased.
  """
  rng = np.random.default_rng(seed)
  lists = np.array(list(itertools.permutations(range(NUM_ITEMS), NUM_POSITIONS)))
  own = rng.random((NUM_POSITIONS, NUM_ITEMS))
  score = {'uniform': np.zeros(NUM_ITEMS), 'other': np.linspace(0, 1, NUM_ITEMS)}[logger]
  behaviour, evaluated = plackett_luce(score), plackett_luce(rng.normal(size=NUM_ITEMS))
  chance = {
    name: joint(table, lists) for name, table in zip('be', (behaviour, evaluated), strict=True)
  }
  drawn = lists[rng.choice(len(lists), num_lists, p=chance['b'])]
  reward = (rng.random(drawn.shape) < own[np.arange(NUM_POSITIONS), drawn]).astype(float)
  marginal = {name: marginals(chance[name], lists) for name in 'be'}
  first = np.arange(NUM_POSITIONS) == np.zeros((num_lists, 1))
  above = np.where(first, NUM_ITEMS, drawn[:, :1])
  frame = pl.DataFrame(
    {
      'round': np.repeat(np.arange(num_lists), NUM_POSITIONS),
      'user_id': 'u',
      'item_id': pl.Series(drawn.ravel()).cast(pl.String),
      'num_candidates': NUM_ITEMS,
      'position': np.tile(np.arange(NUM_POSITIONS), num_lists),
      'propensity': behaviour[above, drawn].ravel(),
      'reward': reward.ravel(),
      'mine': evaluated[above].reshape(-1, NUM_ITEMS),
      'mine_marginal': np.tile(marginal['e'], (num_lists, 1)),
      'propensity_marginal': marginal['b'][np.arange(NUM_POSITIONS), drawn].ravel(),
      'alone': evaluated[above, drawn].ravel(),
    }
  )
  value = float(chance['e'] @ own[np.arange(NUM_POSITIONS), lists].sum(1))
  return frame, value


def plackett_luce(score):
  """[K + 1, K] probability of each item below each other one, the last row at the top."""
  weight = np.exp(score)
  table = np.tile(weight, (NUM_ITEMS + 1, 1))
  table[np.arange(NUM_ITEMS), np.arange(NUM_ITEMS)] = 0
  return table / table.sum(1, keepdims=True)


def joint(table, lists):
  return table[NUM_ITEMS, lists[:, 0]] * table[lists[:, 0], lists[:, 1]]


def marginals(chance, lists):
  return np.stack([np.bincount(column, chance, NUM_ITEMS) for column in lists.T])


def write(path, frame):
  frame.write_parquet(path, metadata={'item_ids': json.dumps([str(k) for k in range(NUM_ITEMS)])})
  return path


def value(tmp_path, frame, policy, reading=T, name='log.parquet', **kwargs):
  out = tmp_path / 'rows.json'
  path = write(tmp_path / name, frame)
  valuation.run(path, policy, 0.5, 0, tmp_path / 'figure.svg', out, reading=reading, **kwargs)
  return {row['metric']: row for row in json.loads(out.read_text())}


def test_every_estimator_holds_the_value_of_the_lists(tmp_path, capsys):
  frame, truth = world()
  rows = value(tmp_path, frame.drop('propensity_marginal'), 'column:mine')
  assert set(rows) == set(NAMES)
  for name, row in rows.items():
    # Four standard errors; and what is not weighted is far outside.
    half = 4 / 1.96 * (row['high'] - row['low']) / 2
    assert abs(row['value'] - truth) < half, name
    assert abs(frame['reward'].sum() / 4_000 - truth) > half, name
    assert row['n'] == 4_000
  # The model takes away most of the variance, and the pseudo-inverse has less than whole lists.
  width = {name: row['high'] - row['low'] for name, row in rows.items()}
  assert width['cascade_dr'] < width['interaction_ips']
  assert 'value per list' in capsys.readouterr().out
  assert (tmp_path / 'figure.svg').is_file()


def test_uniform_lists_are_a_policy_and_every_estimator_sees_it(tmp_path):
  frame, _ = world(500)
  rows = value(tmp_path, frame, 'uniform')
  earned = frame['reward'].sum() / 500
  for name in set(NAMES) - {'cascade_dr'}:
    assert rows[name]['value'] == pytest.approx(earned), name


def test_what_the_log_does_not_give_is_left_out(tmp_path, capsys):
  frame, truth = world(2_000, logger='other')
  rows = value(tmp_path, frame, 'column:mine')
  assert set(rows) == {*NAMES} - {'pseudo_inverse', 'sn_pseudo_inverse'}
  assert abs(rows['independent_snips']['value'] - truth) < 0.15
  rows = value(tmp_path, frame.drop('propensity_marginal'), 'column:alone')
  assert set(rows) == {f'{k}_{e}' for k in ('standard', 'interaction') for e in ('ips', 'snips')}
  assert 'left out, as the log does not give what they need: independent' in capsys.readouterr().out


def test_lists_that_a_policy_never_shows_whole_are_weighed_by_position_alone(tmp_path):
  # Positions are drawn apart, and the policy has no item twice.
  frame, _ = world(3)
  frame = frame.with_columns(item_id=pl.lit('0'), propensity=pl.lit(0.25))
  rows = value(tmp_path, frame.with_columns(propensity_marginal=pl.lit(0.25)), 'uniform')
  assert {'independent_snips', 'pseudo_inverse'} <= set(rows)
  assert not {'standard_ips', 'interaction_snips'} & set(rows)
  with pytest.raises(InputError, match='no overlap: it gives every logged list probability 0'):
    value(tmp_path, frame.drop('propensity_marginal'), 'uniform')


def test_the_logged_policy_is_its_mean_reward_and_shorter_lists_count(tmp_path):
  frame, _ = world(300)
  # The second list loses its last item.
  frame = frame.filter(pl.int_range(pl.len()) != 3)
  rows = value(tmp_path, frame, 'logged', Reading(('standard_ips', 'interaction_snips'), 't'))
  for row in rows.values():
    assert row['value'] == pytest.approx(frame['reward'].sum() / 300)
  lists = ranked_lists.from_rows('log', logged.read(tmp_path / 'log.parquet', ranked=True))
  assert lists.row[:3].tolist() == [[0, 1], [2, -1], [3, 4]]
  assert lists.reward[1, 1] == 0 and lists.propensity[1, 1] == 1 and lists.action[1, 1] == -1


def test_users_are_resampled_where_they_are_known(tmp_path):
  frame, _ = world(200)
  frame = frame.with_columns(user_id=(pl.col('round') // 10).cast(pl.String))
  rows = value(tmp_path, frame, 'column:alone', Reading(('standard_ips',)))
  assert rows['standard_ips']['n'] == 20


@pytest.mark.parametrize(
  ('changed', 'policy', 'message'),
  [
    ({'round': [0, 0, 2, 2, 1, 1]}, 'logged', 'round, row 4: 1 is below'),
    ({'position': [0, 1, 0, 2, 0, 1]}, 'logged', 'position, row 3: 2 is not the next one'),
    ({'position': [0, 1, 1, 2, 0, 1]}, 'logged', 'position, row 2: 1 is not the next one'),
    ({'user_id': ['u', 'u', 'u', 'v', 'u', 'u']}, 'logged', 'user_id, row 3: v is not that'),
    ({'propensity': [0.5, 0.5, 0.5, 1.5, 0.5, 0.5]}, 'logged', 'propensity, row 3: 1.5 is not'),
    ({'num_candidates': [4, 4, 4, 1, 4, 4]}, 'uniform', 'num_candidates, row 3: 1 are too few'),
    ({}, 'ucb', '--policy: ucb learns from single items'),
    ({}, 'logged,ucb', '--policy: ucb learns from single items'),
    ({}, 'logged,', "--policy: 'logged,' has an empty name"),
    ({'alone': [0.0] * 6}, 'column:alone', 'no overlap'),
    ({'alone': [1.0, 0.0] * 3}, 'column:alone', 'no overlap: it gives every logged list'),
    ({'alone': [2.0] * 6}, 'column:alone', 'row 0: not in'),
  ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, changed, policy, message):
  frame, _ = world(3)
  frame = frame.with_columns(**{name: pl.Series(column) for name, column in changed.items()})
  with pytest.raises(InputError, match=message) as error:
    value(tmp_path, frame, policy)
  assert '\n' not in str(error.value)
  for level in (95.0, 0.0, -1.0, np.nan):
    with pytest.raises(InputError, match=f'level: {level:g} is not in'):
      value(tmp_path, world(3)[0], 'uniform', Reading(level=level, interval='t'))
  assert [path.name for path in tmp_path.iterdir()] == ['log.parquet']


def test_flags_that_mean_nothing_for_lists_are_refused(tmp_path):
  frame, _ = world(3)
  with pytest.raises(InputError, match='--estimators: ipw is not for ranked lists'):
    value(tmp_path, frame, 'logged', Reading(('ipw',)))
  with pytest.raises(InputError, match='--against: ucb learns from single items'):
    value(tmp_path, frame, 'logged', against='ucb')
  with pytest.raises(InputError, match='--model: mrdr is not for ranked lists'):
    value(tmp_path, frame, 'logged', Reading(model='mrdr'))
  with pytest.raises(InputError, match='none of pseudo_inverse applies'):
    value(tmp_path, frame.drop('propensity_marginal'), 'column:alone', Reading(('pseudo_inverse',)))


def test_what_does_not_fit_into_memory_is_said_before_it_is_begun(tmp_path, monkeypatch):
  frame, _ = world(50)
  monkeypatch.setattr(list_policies, 'memory', lambda: 8_000)
  with pytest.raises(InputError, match='50 lists of 4 items take .* with cascade_dr; give fewer'):
    value(tmp_path, frame, 'column:mine')
  # The uniform policy goes without tables of all items.
  assert 'cascade_dr' not in value(tmp_path, frame, 'uniform')


def test_two_policies_are_compared_list_by_list(tmp_path, capsys):
  frame, _ = world()
  frame = frame.drop('propensity_marginal')
  names = ('standard_ips', 'cascade_dr', 'independent_ips')
  rows = value(tmp_path, frame, 'column:mine', Reading(names, 't'), against='uniform')
  lines = capsys.readouterr().out.replace('\N{MINUS SIGN}', '-').splitlines()
  assert 'more than uniform' in lines[1]
  earned = frame['reward'].sum() / 4_000
  for name in names[::2]:
    # The log is uniform, so that all weights of the other policy are 1.
    row, line = rows[name], next(line for line in lines if line.startswith(name))
    gain, low, high = map(float, re.search(r'\] +(\S+) \[(\S+), (\S+)\]', line).groups())
    assert gain == pytest.approx(row['value'] - earned, abs=6e-4)
    assert low < gain < high < low + row['high'] - row['low']
  value(tmp_path, frame, 'column:alone', Reading(names, 't'), against='column:mine')
  assert capsys.readouterr().out.count('0.00 [0.00, 0.00]') == 1


def test_the_popular_items_are_ranked_by_the_first_lists(tmp_path, capsys):
  frame, _ = world(4_000)
  rows = value(tmp_path, frame, 'popularity_greedy')
  assert 'popularity_greedy learnt from the 2,000 before' in capsys.readouterr().out
  assert set(rows) == set(NAMES)
  # By hand: rates of the first half, and the mean over the lists of the second that show the two.
  first, second = frame.head(4_000), frame.tail(4_000)
  rate = first.group_by('item_id').agg((pl.sum('reward') + 1) / (pl.len() + 10)).sort('reward')
  best = rate['item_id'].to_list()[::-1][:2]
  drawn = second['item_id'].to_numpy().reshape(-1, 2)
  agreeing = (drawn == best).all(1)
  earned = second['reward'].to_numpy().reshape(-1, 2)[agreeing].sum(1).mean()
  assert rows['standard_snips']['value'] == pytest.approx(earned)
  assert rows['standard_snips']['n'] == 2_000
  with pytest.raises(InputError, match='popularity_greedy ranks all items, and not every list'):
    value(tmp_path, frame.with_columns(num_candidates=5), 'popularity_greedy')
  with pytest.raises(InputError, match='--train_share: of 1 lists none is left'):
    value(tmp_path, frame.head(2), 'popularity_greedy')


def test_several_policies_are_ranked_list_by_list(tmp_path, capsys):
  frame, _ = world(500)
  frame = frame.with_columns(half=(pl.col('alone') + 1 / (NUM_ITEMS - pl.col('position'))) / 2)
  path, out = write(tmp_path / 'log.parquet', frame), tmp_path / 'rows.json'
  few = Reading(('standard_ips', 'interaction_ips', 'cascade_dr'), 't')
  names = 'column:mine,column:alone,uniform'
  valuation.run(path, names, 0.5, 0, tmp_path / 'f.svg', out, 'column:half', few)
  said = capsys.readouterr().out
  # The model of cascade_dr asks for probabilities of every item, which two of them do not give.
  assert 'by standard_ips\n' in said and 'by interaction_ips\n' in said
  assert 'by cascade_dr' not in said and 'advice' not in said
  assert 'p-values hold for all pairs of 4 policies at once (Holm)' in said
  shape = (500, NUM_POSITIONS)
  reward = frame['reward'].to_numpy().reshape(shape).sum(1)
  weight = {
    f'column:{name}': (frame[name] / frame['propensity']).to_numpy().reshape(shape).prod(1)
    for name in ('alone', 'half')
  }
  gain = {name: ((each - 1) * reward).mean() for name, each in weight.items()}
  found = {
    row['subject']: row['value']
    for row in json.loads(out.read_text())
    if row['metric'] == 'minus logged' and row['protocol'].endswith('by standard_ips')
  }
  assert set(found) == {*weight, 'column:mine', 'uniform'}
  for name, expected in gain.items():
    assert found[name] == pytest.approx(expected, rel=1e-9)
  assert found['column:mine'] == pytest.approx(found['column:alone'], rel=1e-6)
