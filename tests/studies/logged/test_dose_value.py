"""A log whose actions are numbers, from its file to the table."""

import json
import re

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged_doses
from rec_jax.studies.logged import dose_value
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError

NUM_ROUNDS = 3_000


def frame():
  rng = np.random.default_rng(0)
  context, action = rng.random((2, NUM_ROUNDS))
  reward = 1 + context - 4 * (action - 0.5) ** 2 + rng.normal(0, 0.5, NUM_ROUNDS)
  return pl.DataFrame(
    {
      'user_id': [''] * NUM_ROUNDS,
      'action_value': action,
      'propensity_density': np.ones(NUM_ROUNDS),
      'reward': reward,
      'context': context[:, None].tolist(),
      'mine': 0.3 + 0.4 * context,
    }
  )


def mine(log):
  return 0.3 + 0.4 * log.context[:, 0]


def rows(tmp_path, data, name='column:mine', against='logged', **reading):
  path, out = tmp_path / 'log.parquet', tmp_path / 'rows.json'
  data.write_parquet(path)
  assert logged_doses.holds_doses(path)
  figure = tmp_path / 'value.svg'
  dose_value.run(path, name, 0.5, 0, figure, out, against, Reading(**reading, interval='t'))
  return {row['metric'].partition(', h')[0]: row for row in json.loads(out.read_text())}


def slopes(found, name):
  return next(row for label, row in found.items() if label.startswith(f"{name}, SLOPE's h"))


def test_a_column_and_a_function_give_the_value_in_closed_form(tmp_path, capsys):
  found = rows(tmp_path, frame())
  # 1 + 1/2 - 4 E[(.4 x - .2)²].
  truth = 1.5 - 4 * 0.16 / 12
  assert [name for name in found if 'SLOPE' not in name] == list(dose_value.NAMES)
  assert found['dr']['low'] < truth < found['dr']['high']
  assert found['ipw']['low'] < truth < found['ipw']['high']
  assert found['ipw']['warning'] == '' and slopes(found, 'ipw')['warning'] == dose_value.BIAS
  assert 'logging policy on the same rounds: 1.1' in capsys.readouterr().out
  np.save(tmp_path / 'mine.npy', frame()['mine'].to_numpy())
  for name in (f'python:{__name__}:mine', str(tmp_path / 'mine.npy')):
    again = rows(tmp_path, frame(), name, names=('ipw', 'dr'))
    for each in ('ipw', 'dr'):
      assert again[each]['value'] == pytest.approx(found[each]['value'], rel=1e-9)


def test_a_log_as_csv_gives_the_same(tmp_path):
  data, path = frame(), tmp_path / 'log.csv'
  expected = rows(tmp_path, data, names=('snipw', 'dr'))
  text = pl.Series('context', [json.dumps(each) for each in data['context'].to_list()])
  data.with_columns(text).write_csv(path)
  assert logged_doses.holds_doses(path)
  out, reading = tmp_path / 'csv.json', Reading(('snipw', 'dr'), 't')
  dose_value.run(path, 'column:mine', 0.5, 0, tmp_path / 'v.svg', out, 'logged', reading)
  values = [row['value'] for row in json.loads(out.read_text())]
  assert values == pytest.approx([row['value'] for row in expected.values()], rel=1e-9)


def test_a_dose_at_the_end_of_the_log_is_warned_of(tmp_path):
  found = rows(tmp_path, frame().with_columns(mine=pl.lit(0.0)), names=('ipw', 'snipw'))
  assert 'weights average 0.5' in found['ipw']['warning']
  # Half of the kernel has no rounds: the truth is 1/2.
  assert found['ipw']['value'] < 0.4 < found['snipw']['value'] < 0.75


@pytest.mark.parametrize('num_rounds', [1, 2, 3])
def test_the_shortest_logs(tmp_path, num_rounds):
  found = rows(tmp_path, frame().head(num_rounds))
  assert np.isfinite(found['snipw']['value'])
  assert ('dr' in found) == (num_rounds >= 3)


@pytest.mark.parametrize(
  ('change', 'name', 'message'),
  [
    (
      {'propensity_density': 0.0},
      'column:mine',
      'column "propensity_density", row 0 is not positive',
    ),
    ({'reward': float('nan')}, 'column:mine', 'column "reward", row 0 is empty, NaN or infinite'),
    ({'reward': 1e200}, 'column:mine', 'column "reward", row 0 is empty, .* beyond 1e.15'),
    ({'propensity_density': 1e-300}, 'column:mine', '"propensity_density", row 0 times the range'),
    ({'user_id': [1]}, 'column:mine', r'column "user_id" holds List\(Int64\), not ids'),
    ({'user_id': 'NaN'}, 'column:mine', 'column "user_id", row 1: "NaN" stands for a missing'),
    ({'mine': float('inf')}, 'column:mine', 'column:mine, row 0: inf is not finite'),
    ({'mine': 1e200}, 'column:mine', r'column:mine, row 0: 1e\+200 is .* too large'),
    ({'mine': 1e9}, 'column:mine', 'no overlap: it is near no logged action'),
    ({}, 'column:context', r'holds float64 of shape \[3000, 1\]; give a number a round, \[3000\]'),
    ({}, 'ucb', 'where actions are numbers, give dose:NUMBER, column:NAME, FILE.npy or'),
  ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, change, name, message):
  data = frame().with_columns(**{key: pl.lit(value) for key, value in change.items()})
  with pytest.raises(InputError, match=message) as error:
    rows(tmp_path, data, name, names=('ipw',))
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'value.svg').exists()
  assert not (tmp_path / 'rows.json').exists()


def test_a_context_of_another_length_is_named(tmp_path):
  some = frame().head(3).with_columns(context=pl.Series([[0.1], [0.2, 0.3], [0.4]]))
  with pytest.raises(InputError, match='column "context", row 1 has another length'):
    rows(tmp_path, some)


def test_two_policies_are_compared_round_by_round(tmp_path, capsys):
  rows(tmp_path, frame(), against='dose:0.9', names=('ipw',))
  line = capsys.readouterr().out.splitlines()[-1]
  found = re.fullmatch(
    r'effect of column:mine in place of dose:0.9: \+(\S+) \[\+(\S+), \+(\S+)\]', line
  )
  # 4 (.4² - E[(.4 x - .2)²]).
  truth = 4 * (0.16 - 0.16 / 12)
  assert float(found[2]) < truth < float(found[3])
  assert float(found[3]) - float(found[2]) < 0.5
  rows(tmp_path, frame(), against='column:mine')
  assert (
    capsys.readouterr().out.splitlines()[-1].endswith('in place of column:mine: 0.00 [0.00, 0.00]')
  )


def test_several_policies_are_ranked(tmp_path, capsys):
  path, out = tmp_path / 'log.parquet', tmp_path / 'rows.json'
  frame().write_parquet(path)
  effects = {}
  for name in ('column:mine', 'dose:0.9'):
    dose_value.run(path, name, 0.5, 0, tmp_path / 'v.svg', None, 'logged', Reading(('ipw',), 't'))
    effects[name] = capsys.readouterr().out.splitlines()[-1].partition(': ')[2]
  names = f'dose:0.9,python:{__name__}:mine,column:mine'
  dose_value.run(path, names, 0.5, 0, tmp_path / 'v.svg', out, 'dose:0.45', Reading(('dr',), 't'))
  said = capsys.readouterr().out
  assert said.startswith('4 policies, on all 3,000 rounds\nby dr\n')
  found = {(row['subject'], row['metric']): row for row in json.loads(out.read_text())}
  # What each earns more than the policy that logged is its effect.
  for name, line in effects.items():
    assert re.search(f'{re.escape(name)} +{re.escape(line)}', said)
  assert found['dose:0.9', 'minus best']['rank'] == 4
  assert found['dose:0.9', 'minus best']['corrected_p'] < 1e-4
  # The same policy twice is not told apart from itself.
  same = [found.get((name, 'minus best')) for name in ('column:mine', f'python:{__name__}:mine')]
  assert all(row is None or row['corrected_p'] > 0.01 for row in same)
  assert found['column:mine', 'minus logged']['value'] == pytest.approx(
    found[f'python:{__name__}:mine', 'minus logged']['value'], rel=1e-9
  )
  with pytest.raises(InputError, match='--policy: dose:9: no overlap'):
    dose_value.run(path, 'dose:9,dose:0.5', 0.5, 0, tmp_path / 'w.svg', None, 'logged', Reading())
  assert not (tmp_path / 'w.svg').exists()


def test_the_logged_reward_is_what_an_effect_is_above(tmp_path, capsys):
  rows(tmp_path, frame())
  effect = capsys.readouterr().out.splitlines()[-1]
  # 1.5 - 4 .16 / 12 above 1.5 - 4 / 12.
  low, high = (float(end) for end in re.search(r'\[\+(\S+), \+(\S+)\]', effect).groups())
  assert low < 4 / 12 - 4 * 0.16 / 12 < high < 2 * low


def test_what_is_of_other_logs_is_refused(tmp_path):
  with pytest.raises(InputError, match='--against: ucb: where actions are numbers, give dose:'):
    rows(tmp_path, frame(), against='ucb')
  with pytest.raises(InputError, match='--against: no overlap: it is near no logged action'):
    rows(tmp_path, frame(), against='dose:99')
  with pytest.raises(InputError, match='--policy: dose:x: no number; give one, as dose:0.5'):
    rows(tmp_path, frame(), 'dose:x')
  with pytest.raises(InputError, match='--model: mrdr is not for numbers as actions'):
    rows(tmp_path, frame(), model='mrdr')
  with pytest.raises(InputError, match='--estimators: mips is not one of ipw, snipw, dm, dr, sndr'):
    rows(tmp_path, frame(), names=('ipw', 'mips'))
  for level in (95.0, 0.0, -1.0, np.nan):
    with pytest.raises(InputError, match=f'level: {level:g} is not in'):
      rows(tmp_path, frame(), level=level)


def test_a_log_without_a_density_says_what_it_lacks(tmp_path):
  with pytest.raises(
    InputError, match='no column "propensity_density"; a log of doses has user_id'
  ):
    rows(tmp_path, frame().drop('propensity_density'))
  assert not logged_doses.holds_doses(tmp_path / 'absent.parquet')
