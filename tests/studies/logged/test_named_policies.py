"""What --policy and --against name, and what is said of names that are no policy."""

import dataclasses
import re

import numpy as np
import pytest

from rec_jax.data import logged
from rec_jax.studies.logged import named_policies, own_policy, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError
from tests.helpers import logs

FEW = Reading(names=('ipw', 'snipw'), interval='t')


@pytest.fixture
def path(tmp_path, monkeypatch):
  ids = np.array(['film', 'film, part two'])
  log = dataclasses.replace(logs.two_items(), item_ids=ids)
  logged.write(tmp_path / 'log.parquet', log)
  monkeypatch.chdir(tmp_path)
  return tmp_path / 'log.parquet'


def run(path, name, against='logged'):
  valuation.run(path, name, 0.5, 0, path.parent / 'value.svg', against=against, reading=FEW)


def test_names_are_split_at_commas_that_no_item_or_path_holds(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  items = ['film', 'film, part two']
  assert named_policies.split('uniform,item:film', items) == ['uniform', 'item:film']
  assert named_policies.split('item:film, part two', items) == ['item:film, part two']
  assert named_policies.split('a,b.npy') == ['a', 'b.npy']
  (tmp_path / 'a,b.npy').touch()
  assert named_policies.split('a,b.npy') == ['a,b.npy']


def test_an_item_with_a_comma_is_valued(path, capsys):
  run(path, 'item:film, part two')
  assert capsys.readouterr().out.startswith('item:film, part two, nothing to learn')


def test_a_directory_does_not_hide_a_name(path, capsys):
  for name in ('uniform', 'logged'):
    (path.parent / name).mkdir()
  run(path, 'logged')
  run(path, 'uniform')
  assert 'effect of uniform in place of logged' in capsys.readouterr().out


def test_the_policy_that_logged_is_held_against_another(path, capsys):
  run(path, 'logged', 'item:film')
  found = re.search(r'effect of logged in place of item:film: \+0.(\d+)', capsys.readouterr().out)
  log = logged.read(path)
  film = log.reward[log.action == 0].mean()
  assert float(f'0.{found[1]}') == pytest.approx(log.reward.mean() - film, abs=0.006)


@pytest.mark.parametrize(
  ('name', 'against', 'message'),
  [
    ('', 'logged', "--policy: '' has an empty name; give one"),
    ('uniform,', 'logged', "--policy: 'uniform,' has an empty name; give one"),
    ('uniform', '', "--against: unknown policy '', and no such directory"),
    ('uniform', 'logged,uniform', '--against: logged,uniform: give one policy; several go to'),
    ('dose:1', 'logged', '--policy: dose:1 is for logs of numbers, and .* "action_value"; give an'),
    ('unifrom', 'logged', r"--policy: unknown policy 'unifrom', .*item:ID, .* or one of .*uniform"),
    ('learnt', 'logged', '--policy: learnt is a directory without a policy; give the DIR/policy'),
  ],
)
def test_what_is_no_policy_is_one_line(path, name, against, message):
  (path.parent / 'learnt' / 'policy').mkdir(parents=True)
  with pytest.raises(InputError, match=message) as error:
    run(path, name, against)
  assert '\n' not in str(error.value)
  assert not (path.parent / 'value.svg').exists()


def test_the_flag_of_lists_and_doses_is_named():
  for flag in ('--policy', '--against'):
    with pytest.raises(InputError, match=f'^{flag}: python:absent:f'):
      own_policy.given('python:absent:f', None, 'log.parquet', flag)
