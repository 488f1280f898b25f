"""The user's own vectors: every bad file is one line, and exploration runs on a good one."""

import dataclasses
import json
import re

import numpy as np
import polars as pl
import pytest

from rec_jax.runs.config import Config, ExploreConfig
from rec_jax.stages.explore import policies, vectors
from rec_jax.stages.explore import stage as explore
from rec_jax.types import InputError

U, N, F = 6, 5, 3


def arrays(**changes):
  rng = np.random.default_rng(0)
  made = {
    'items': rng.normal(size=(N, F)),
    'users': rng.normal(size=(U, F)),
    'rewards': rng.integers(0, 2, (U, N)).astype(float),
  }
  return {name: array for name, array in (made | changes).items() if array is not None}


def with_value(name, value):
  array = arrays()[name]
  array[2] = value
  return {name: array}


def test_what_was_written_is_read(tmp_path):
  unknown = arrays()['rewards']
  unknown[2, 1:] = np.nan
  for made in (arrays(), arrays(rewards=None), arrays(rewards=unknown)):
    np.savez(tmp_path / 'v.npz', **made)
    read = vectors.read(str(tmp_path / 'v.npz'))
    assert read.keys() == made.keys()
    for name, array in made.items():
      np.testing.assert_array_equal(read[name], array)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'items': None}, "no array 'items', only users, rewards; it needs items"),
    ({'users': None}, "no array 'users'"),
    ({'items': np.ones(3)}, r'items are (3,)'),
    ({'users': np.ones((2, 3, 3))}, r'users are (2, 3, 3)'),
    ({'items': np.ones((0, F))}, r'items are (0, 3)'),
    ({'users': np.ones((U, 0))}, r'users are (6, 0)'),
    ({'users': np.ones((U, 4))}, r'items (5, 3) and users (6, 4) differ in width'),
    ({'items': np.full((N, F), 'a')}, r'items (5, 3) of <U1 must be finite numbers'),
    (with_value('items', np.nan), r'items (5, 3) of float64 must be finite'),
    (with_value('users', np.inf), r'users (6, 3) of float64 must be finite'),
    (with_value('users', 1e300), r'users (6, 3) of float64 must be finite'),
    ({'rewards': np.ones((N, U))}, r'rewards are (5, 6), not [U, N] = (6, 5)'),
    ({'rewards': np.full((U, N), 'a')}, r'must be finite numbers'),
    (with_value('rewards', np.inf), r'must be finite numbers'),
    (with_value('rewards', 4.0), r'rewards (6, 5) go from 0 to 4; bring them to [0, 1]'),
    (with_value('rewards', np.nan), r'rewards (6, 5), row 2: no reward of this user is known'),
  ],
)
def test_wrong_arrays_are_one_line_with_file_and_shapes(tmp_path, changes, message):
  path = tmp_path / 'v.npz'
  np.savez(path, **arrays(**changes))
  with pytest.raises(InputError, match=re.escape(message)) as error:
    vectors.read(str(path))
  assert str(error.value).startswith(f'{path}: ')
  assert '\n' not in str(error.value)


def _truncated(path):
  np.savez(path, **arrays())
  path.write_bytes(path.read_bytes()[:200])


def _single_array(path):
  with path.open('wb') as file:
    np.save(file, np.ones(3))


@pytest.mark.parametrize(
  'write',
  [
    lambda path: None,
    lambda path: path.mkdir(),
    lambda path: path.write_bytes(b''),
    lambda path: path.write_text('1,2,3'),
    lambda path: np.savez(path, items=np.array([{}, {}])),
    _truncated,
    _single_array,
  ],
  ids=['missing', 'directory', 'empty', 'text', 'pickled', 'truncated', 'one array'],
)
def test_unreadable_files_are_one_line(tmp_path, write):
  path = tmp_path / 'v.npz'
  write(path)
  with pytest.raises(InputError, match='not a readable .npz file') as error:
    vectors.read(str(path))
  assert str(error.value).startswith(f'{path}: ')
  assert '\n' not in str(error.value)


def test_exploration_runs_on_vectors_alone(tmp_path, capsys, monkeypatch):
  ucb = dataclasses.replace(policies.PER_USER_UCB, frontier=())
  monkeypatch.setattr(
    policies,
    'comparison',
    lambda world: (policies.UNIFORM, policies.baseline(world), policies.MODEL_GREEDY, ucb),
  )
  rng = np.random.default_rng(1)
  path = tmp_path / 'mine.npz'
  np.savez(path, items=rng.normal(size=(20, 4)), users=rng.normal(size=(30, 4)))
  config = Config(vectors=str(path), explore=ExploreConfig(num_seeds=2, min_events_catalogue=5))
  explore.run(config, tmp_path / 'run')
  rows = json.loads((tmp_path / 'run/metrics.json').read_text())
  summary = json.loads((tmp_path / 'run/explore/summary.json').read_text())
  [environment] = summary['environments']
  assert environment['rounds'] == 30 * 5
  reward = {row['subject']: row['value'] for row in rows if row['metric'] == 'reward'}
  assert reward.keys() == {'uniform', 'popularity greedy', 'model greedy', ucb.label}
  units = pl.read_parquet(tmp_path / 'run/explore/per_unit.parquet')
  assert 'user_reward' not in environment['policies'][0]
  for (policy,), of_users in units.group_by('policy'):
    assert len(of_users) == 30
    assert of_users['reward'].mean() == pytest.approx(reward[policy])
  # The rewards were drawn from these very vectors.
  assert reward['model greedy'] > reward['uniform'] + 0.05
  told, page = capsys.readouterr().out, (tmp_path / 'run/report/index.html').read_text()
  assert all(name in told and name in page for name in reward)
  assert 'rec_jax on mine' in page
  # There are no items without a past, no models and nothing trained; a policy less itself is empty.
  for absent in ('cold items', 'before the cut', 'of the student', 'training seeds'):
    assert absent not in page, absent
  assert 'the given vectors' in page
  assert 'Rewards are drawn from the vectors' in page
  assert 'items shown ≥ 10 times' in told
  assert '0.000 [0.000, 0.000]' not in told
  np.savez(path, items=rng.normal(size=(20, 4)), users=rng.normal(size=(30, 4)))
  with pytest.raises(InputError, match=r'mine.npz has changed since'):
    explore.run(config, tmp_path / 'run')
