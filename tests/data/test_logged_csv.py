"""Logs as plain CSV: what is written comes back, and a bad row is named."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged, obp
from rec_jax.types import InputError
from tests.data import test_logged

HEAD = 'round,user_id,item_id,num_candidates,propensity,reward'


def assert_same(ours, expected):
  for field in dataclasses.fields(expected):
    value = getattr(expected, field.name)
    found = getattr(ours, field.name)
    assert (found is None) == (value is None), field.name
    if value is not None:
      np.testing.assert_array_equal(found, value, err_msg=field.name)


EVERY = ('context', 'action_context', 'expected_reward', 'pi_b', 'action_embed')


@pytest.mark.parametrize('is_listed', [False, True])
@pytest.mark.parametrize('absent', [(), EVERY])
def test_a_log_survives(tmp_path, absent, is_listed):
  embed = {'action_embed': np.arange(24.0).reshape(12, 2) / 7}
  log = obp.from_dictionary(test_logged.feedback() | embed | dict.fromkeys(absent))
  log = dataclasses.replace(log, item_ids=np.array(['a,"b"', '7', '']), user_id=log.user_id)
  if is_listed:
    log = dataclasses.replace(log, candidates=np.tile([2, 0, 1], (12, 1)))
  if not absent:
    missing = {name for name, value in vars(log).items() if value is None}
    assert missing == (set() if is_listed else {'candidates'})
  path = tmp_path / 'log.csv'
  logged.write(path, log)
  assert_same(logged.read(path), log)
  # It is the log that Parquet holds.
  logged.write(tmp_path / 'log.parquet', log)
  assert_same(logged.read(tmp_path / 'log.parquet'), log)


def test_candidates_of_each_round_survive(tmp_path):
  path = tmp_path / 'log.csv'
  path.write_text(
    f'{HEAD},candidates,mine\n'
    '0,u,b,2,0.5,1,"[""a"", ""b""]","[0.5, 0.5]"\n'
    '4,v,c,3,0.25,0.5,"[""a"", ""b"", ""c""]","[0, 0, 1]"\n'
  )
  log = logged.read(path)
  assert log.item_ids.tolist() == ['b', 'c', 'a']
  np.testing.assert_array_equal(log.candidates, [[2, 0, -1], [2, 0, 1]])
  np.testing.assert_array_equal(logged.read_column(path, 'mine'), [[0.5, 0.5, 0], [0, 0, 1]])
  logged.write(tmp_path / 'again.csv', log)
  assert_same(logged.read(tmp_path / 'again.csv'), log)


def test_a_column_of_numbers_is_a_policy(tmp_path):
  path = tmp_path / 'log.csv'
  path.write_text(f'{HEAD},mine\n0,u,b,2,0.5,1,0.25\n1,u,b,2,0.5,1,1\n')
  np.testing.assert_array_equal(logged.read_column(path, 'mine'), [0.25, 1])
  path.write_text(f'{HEAD},mine\n0,u,b,2,0.5,1,\n1,u,b,2,0.5,1,1\n')
  np.testing.assert_array_equal(logged.read_column(path, 'mine'), [np.nan, 1])


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('', 'is empty; give a file with data'),
    (f'{HEAD},reward\n0,u,a,2,0.5,1,9\n', 'there are several columns "reward"; rename'),
    (f'{HEAD}\n0,u,a,2,0.5,1\n'.replace(',', ';'), 'columns are not separated by commas'),
    (f'{HEAD}\n0,u,a,2,0.5,1\n'.replace('\n', '\r'), 'is text with the line ends of old Macs'),
    ('a,b\n1,2\n', 'no column "round"'),
    (f'{HEAD}\n0,u,a,2,half,1\n', 'column "propensity", row 0: \'half\' is no Float64'),
    (f'{HEAD}\n0,u,a,2,0.5,1\n1,u,a,2,,1\n', 'column "propensity", row 1: '),
    (f'{HEAD}\n0,u,a,2,0.5,1\n0.5,u,a,2,0.5,1\n', 'column "round", row 1: \'0.5\' is no Int64'),
    (f'{HEAD}\n0,u,a,2,1.5,1\n', 'propensity, row 0: 1.5 is not in'),
    (f'{HEAD},context\n0,u,a,2,0.5,1,[1]\n1,u,a,2,0.5,1,[1\n', 'column "context", row 1'),
    (f'{HEAD},context\n0,u,a,2,0.5,1,[1]\n1,u,a,2,0.5,1,"[1, 2]"\n', 'column "context", row 1'),
    (f'{HEAD},context\n0,u,a,2,0.5,1,{"[" * 100_000}\n', 'column "context", row 0'),
    (f'{HEAD},context\n0,u,a,2,0.5,1,3\n', 'column "context", row 0: \'3\' is no list'),
    (f'{HEAD},context\n0,u,a,2,0.5,1,"[""a""]"\n', 'context is object of shape'),
  ],
)
def test_a_bad_row_is_named(tmp_path, text, message):
  path = tmp_path / 'log.csv'
  path.write_text(text)
  with pytest.raises(InputError, match=message) as error:
    logged.read(path)
  assert '\n' not in str(error.value)


def test_a_bad_file_of_items_is_named(tmp_path):
  path = tmp_path / 'log.csv'
  path.write_text(f'{HEAD}\n0,u,a,2,0.5,1\n')
  items = tmp_path / 'log.items.csv'
  pl.DataFrame({'item_id': ['a', 'b'], 'action_context': ['[1]', 'x']}).write_csv(items)
  with pytest.raises(InputError, match=r'log.items.csv: column "action_context", row 1'):
    logged.read(path)
  pl.DataFrame({'id': ['a']}).write_csv(items)
  with pytest.raises(InputError, match=r'log.items.csv: no column "item_id"'):
    logged.read(path)


def test_a_reward_may_be_true_or_false_as_in_parquet(tmp_path):
  path = tmp_path / 'log.csv'
  rows = [f'{i},u,a,1,1,{word}' for i, word in enumerate(['true', 'False', 'false', 'True', '2'])]
  path.write_text('\n'.join([HEAD, *rows]))
  assert logged.read(path).reward.tolist() == [1, 0, 0, 1, 2]
  path.write_text('\n'.join([HEAD, *rows, '5,u,a,1,1,yes']))
  with pytest.raises(InputError, match='"reward", row 5: \'yes\' is no'):
    logged.read(path)
