"""A policy of the user's own: a column, a file or a function, valued as the same policy is."""

import json

import numpy as np
import polars as pl
import pytest

from rec_jax.data import logged, obp
from rec_jax.studies.logged import own_policy, valuation
from rec_jax.studies.logged.evaluation import Reading
from rec_jax.types import InputError

NUM_ROUNDS, WORTH = 400, np.array([0.1, 0.8, 0.2])


def log():
  rng = np.random.default_rng(0)
  action = rng.integers(3, size=NUM_ROUNDS)
  return obp.from_dictionary(
    {
      'n_actions': 3,
      'action': action,
      'reward': (rng.random(NUM_ROUNDS) < WORTH[action]).astype(float),
      'pscore': np.full(NUM_ROUNDS, 1 / 3),
      'context': rng.normal(size=(NUM_ROUNDS, 2)),
    }
  )


def mine(data):
  """Mostly the second item: worth .2 (.1 + .2) + .6 * .8 = .54."""
  return np.tile([0.2, 0.6, 0.2], (len(data.action), 1))


def zero(data):
  return np.zeros(len(data.action))


def short(data):
  return mine(data)[1:]


def raising(data):
  raise KeyError('weights\nof old')


def leaving(data):
  raise SystemExit(0)


def ragged(data):
  return [[0.5, 0.5], [1.0]]


@pytest.fixture
def path(tmp_path):
  data, file = log(), tmp_path / 'log.parquet'
  logged.write(file, data)
  whole = mine(data)
  frame = pl.read_parquet(file).with_columns(
    own=pl.Series(whole.tolist()), alone=whole[np.arange(NUM_ROUNDS), data.action]
  )
  frame.write_parquet(file, metadata=pl.read_parquet_metadata(file))
  np.save(tmp_path / 'mine.npy', whole)
  return file


def rows(path, name, **reading):
  out = path.parent / 'rows.json'
  valuation.run(path, name, 0.5, 0, path.parent / 'value.svg', out, reading=Reading(**reading))
  return {row['metric']: row for row in json.loads(out.read_text())}


def test_each_way_gives_the_same_values(path, capsys):
  data = log()
  weight = 3 * mine(data)[np.arange(NUM_ROUNDS), data.action]
  names = ('ipw', 'snipw', 'dr')
  ways = ['column:own', f'{path.parent}/mine.npy', f'python:{__name__}:mine']
  found = [rows(path, way, names=names, interval='t') for way in ways]
  assert found[0]['ipw']['value'] == pytest.approx(weight @ data.reward / NUM_ROUNDS, rel=1e-9)
  assert found[0]['ipw']['n'] == NUM_ROUNDS
  assert found[0]['dr']['low'] < 0.54 < found[0]['dr']['high']
  for other in found[1:]:
    assert [row['value'] for row in other.values()] == [row['value'] for row in found[0].values()]
  alone = rows(path, 'column:alone', names=names, interval='t')
  assert alone['snipw']['value'] == pytest.approx(found[0]['snipw']['value'], rel=1e-9)
  assert 'dr' not in alone
  assert 'effect of column:own in place of logged: +0.' in capsys.readouterr().out


def test_the_level_widens_the_intervals_and_is_said(path, capsys):
  few = {
    level: rows(path, 'column:alone', names=('ipw',), interval='t', level=level)['ipw']
    for level in (0.5, 0.95)
  }
  widths = {level: row['high'] - row['low'] for level, row in few.items()}
  # Quantiles of the normal law: .674 and 1.960.
  assert widths[0.95] / widths[0.5] == pytest.approx(1.96 / 0.674, rel=0.01)
  assert 'intervals: 50 %, t, over rounds' in capsys.readouterr().out


def test_intervals_by_likelihood_and_of_adaptive_logs(path, capsys):
  found = rows(path, 'column:own', names=('ipw', 'snipw', 'dr'), interval='likelihood')
  assert found['ipw']['value'] == pytest.approx(found['snipw']['value'], rel=1e-9)
  assert found['dr']['low'] < 0.54 < found['dr']['high'] and found['dr']['warning'] == ''
  assert 'intervals: 95 %, likelihood, over rounds' in capsys.readouterr().out
  found = rows(path, 'column:own', names=('ipw', 'snipw', 'dr'), interval='adaptive')
  # Models are of earlier rounds alone, so that nothing warns.
  assert found['dr']['low'] < 0.54 < found['dr']['high'] and found['dr']['warning'] == ''
  assert found['snipw']['low'] is None
  assert 'intervals: 95 %, adaptive, over rounds' in capsys.readouterr().out


def test_the_lowest_rewards_are_shown_where_there_are_more_than_two(path, capsys):
  rows(path, 'column:alone', names=('snipw',))
  assert 'lowest tenth' not in capsys.readouterr().out
  data = log()
  graded = data.reward + np.where(data.action == 0, -1.0, 1.0)
  frame, metadata = pl.read_parquet(path), pl.read_parquet_metadata(path)
  frame.with_columns(reward=graded).write_parquet(path, metadata=metadata)
  found = rows(path, 'column:alone', names=('snipw',))['lowest tenth']
  assert (found['subject'], found['value'], found['n']) == ('logged', -1.0, NUM_ROUNDS)
  # A fifth and a third of the rewards are -1 or 0, of which nine in ten are -1.
  assert 'lowest tenth of rewards: −1.00 [' in capsys.readouterr().out
  valuation.run(
    path,
    'item:0,item:1',
    0.5,
    0,
    path.parent / 'value.svg',
    path.parent / 'rows.json',
    reading=Reading(('snipw',)),
  )
  assert 'lowest tenth' in capsys.readouterr().out
  worst = {
    row['subject']: row['value']
    for row in json.loads((path.parent / 'rows.json').read_text())
    if row['metric'] == 'lowest tenth'
  }
  # Where item 1 is shown nothing is below 1.
  assert worst == {'item:0': -1.0, 'item:1': 1.0}


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('column:absent', 'no column "absent"; it has round, user_id'),
    ('column:user_id', 'column|of numbers'),
    ('column:context', r'holds float64 of shape \[400, 2\]; give a probability of each logged'),
    ('column:round', 'column:round, row 2: not in'),
    ('python:no_such_module:f', "python:no_such_module:f: No module named 'no_such_module'; give"),
    (f'python:{__name__}:absent', "has no attribute 'absent'; give python:MODULE:FUNCTION"),
    (f'python:{__name__}:short', r'of shape \[399, 3\]; give'),
    (f'python:{__name__}:raising', r'raising: KeyError: .* \(.*test_own_policy.py, line \d+\)'),
    (f'python:{__name__}:ragged', 'ragged returns has rows of different lengths; give one length'),
    ('python:no_syntax:mine', r'\(no_syntax.py, line 2\); give python:MODULE'),
    ('python:not_importable:mine', r'ZeroDivisionError: .*not_importable.py, line 1\)'),
    (f'python:{__name__}:leaving', r'leaving: SystemExit: 0 \(.*test_own_policy.py, line \d+\)'),
    ('absent.npy', 'absent.npy is no .npy of plain numbers'),
    ('empty.npy', r'empty.npy is no .npy of plain numbers \(No data left in file\)'),
    ('several.npy', 'several.npy is a .npz of several arrays; give one, as .npy'),
  ],
)
def test_what_is_no_policy_is_one_line(path, name, message, monkeypatch):
  monkeypatch.syspath_prepend(path.parent)
  (path.parent / 'no_syntax.py').write_text('def mine(log):\n  return ) log\n')
  (path.parent / 'not_importable.py').write_text('mine = 1 / 0\n')
  (path.parent / 'empty.npy').write_bytes(b'')
  with (path.parent / 'several.npy').open('wb') as stream:
    np.savez(stream, mine=np.ones(NUM_ROUNDS))
  monkeypatch.chdir(path.parent)
  with pytest.raises(InputError, match=message) as error:
    own_policy.probabilities(name, log(), path)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'name',
  [
    *(f'python:{each}' for each in ('no_such_module:f', f'{__name__}:absent')),
    *(f'python:{__name__}:{each}' for each in ('short', 'raising', 'leaving', 'ragged', 'zero')),
    *('absent.npy', 'column:round', 'column:context', 'item:absent', 'best', ''),
  ],
)
def test_an_error_names_the_flag_that_gave_the_policy(path, name):
  for flag, policies in (('--policy', (name, 'logged')), ('--against', ('logged', name))):
    with pytest.raises(InputError, match=f'^{flag}: '):
      valuation.run(path, policies[0], 0.5, 0, path.parent / 'value.svg', against=policies[1])
  assert not (path.parent / 'value.svg').exists()


def test_probabilities_that_do_not_sum_to_one_are_refused(path):
  wrong = mine(log())
  wrong[7] = [0.5, 0.6, 0.2]
  np.save(path.parent / 'wrong.npy', wrong)
  with pytest.raises(InputError, match='row 7: sums to 1.3 over the candidates, not to 1'):
    own_policy.probabilities(f'{path.parent}/wrong.npy', log(), path)


@pytest.mark.parametrize(
  ('reading', 'message'),
  [
    ({'names': ('best',)}, '--estimators: best is not one of replay, ipw'),
    ({'names': ('dr',)}, '--estimators: none of dr applies'),
    ({'interval': 'betting'}, '--interval: betting is not one of bootstrap, t'),
    *(({'level': level}, f'level: {level:g} is not in') for level in (95.0, 0.0, -1.0, np.nan)),
  ],
)
def test_what_cannot_be_read_off_is_one_line_and_nothing_is_written(path, reading, message):
  with pytest.raises(InputError, match=message):
    rows(path, 'column:alone', **reading)
  assert not (path.parent / 'rows.json').exists()
  assert not (path.parent / 'value.svg').exists()
