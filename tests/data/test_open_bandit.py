"""The Open Bandit data by the builder: what is written is what the files say, in order of time."""

import importlib.util

import numpy as np
import polars as pl
import pytest

from rec_jax.data import open_bandit, sources
from rec_jax.types import InputError

NUM_ROUNDS, NUM_ITEMS = 25, 4


def folder(tmp_path, policy='bts', **changed):
  """A folder with the log of one policy, columns replaced; times repeat and are unsorted."""
  rng = np.random.default_rng(0)
  columns = {
    '': np.arange(NUM_ROUNDS),
    'timestamp': [
      f'2019-11-24 00:00:{t:02}{".5" if t % 2 else ""}+00:00'
      for t in rng.integers(0, 9, NUM_ROUNDS)
    ],
    'item_id': rng.integers(NUM_ITEMS, size=NUM_ROUNDS),
    'position': rng.integers(1, 4, size=NUM_ROUNDS),
    'click': rng.integers(2, size=NUM_ROUNDS),
    'propensity_score': rng.uniform(0.1, 1, NUM_ROUNDS),
    **{f'user_feature_{i}': rng.choice(['b', 'a', 'c'], NUM_ROUNDS) for i in range(4)},
  }
  items = {'item_id': [2, 0, 1, 3], 'item_feature_0': [0.5, -1.0, 2.0, 0.0]} | {
    f'item_feature_{i}': ['y', 'x', 'z', 'x'] for i in (1, 2, 3)
  }
  path = tmp_path / 'raw' / policy / 'men'
  path.mkdir(parents=True)
  frame = pl.DataFrame(columns | changed)
  frame.write_csv(path / 'men.csv')
  pl.DataFrame(items).write_csv(path / 'item_context.csv')
  return tmp_path / 'raw', frame


def test_round_trip_over_several_blocks(tmp_path, monkeypatch):
  monkeypatch.setattr(open_bandit, 'BLOCK', 10)
  raw, frame = folder(tmp_path)
  for _ in range(2):  # Replaces what is there.
    open_bandit.write(raw, 'bts', 'men', tmp_path)
  log = open_bandit.read(tmp_path, 'bts', 'men')
  frame = frame.sort('timestamp', maintain_order=True)
  np.testing.assert_array_equal(log.action, frame['item_id'])
  np.testing.assert_array_equal(log.position, frame['position'] - 1)
  np.testing.assert_array_equal(log.reward, frame['click'])
  np.testing.assert_array_equal(log.propensity, frame['propensity_score'])
  for i in range(4):
    user = frame[f'user_feature_{i}'].to_numpy()
    np.testing.assert_array_equal(log.context[:, 2 * i], user == 'b')
    np.testing.assert_array_equal(log.context[:, 2 * i + 1], user == 'c')
  codes = np.array([[0, 0, 0, -1], [2, 2, 2, 2], [1, 1, 1, 0.5], [0, 0, 0, 0]])
  np.testing.assert_array_equal(log.action_context, codes)
  assert [path.name for path in tmp_path.iterdir() if path.name != 'raw'] == ['bts_men']


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({'propensity_score': np.r_[1.5, np.full(NUM_ROUNDS - 1, 0.5)]}, r'propensity, row \d+: 1.5'),
    ({'item_id': np.full(NUM_ROUNDS, NUM_ITEMS)}, r'action, row 0: 4 is not in 0..3'),
    ({'click': ['yes'] * NUM_ROUNDS}, r'men.csv: not a file of the Open Bandit data'),
    ({'click': [None] + [1] * (NUM_ROUNDS - 1)}, r'men.csv: column "click", row 0: empty'),
  ],
)
def test_bad_rows_are_named_in_one_line(tmp_path, changed, message):
  raw, _ = folder(tmp_path, **changed)
  with pytest.raises(InputError, match=message) as error:
    open_bandit.write(raw, 'bts', 'men', tmp_path)
    open_bandit.read(tmp_path, 'bts', 'men')
  assert '\n' not in str(error.value)


def test_what_is_absent_is_named(tmp_path):
  raw, _ = folder(tmp_path)
  with pytest.raises(InputError, match='random/men/men.csv: no such file'):
    open_bandit.write(raw, 'random', 'men', tmp_path)
  with pytest.raises(InputError, match='campaign "kids" is unknown; choose all, men, women'):
    open_bandit.write(raw, 'bts', 'kids', tmp_path)
  with pytest.raises(InputError, match='no Open Bandit log bts_men'):
    open_bandit.read(tmp_path, 'bts', 'men')


@pytest.mark.skipif(
  importlib.util.find_spec('obp') is None, reason='data-requirements.txt is not fully installed'
)
def test_the_sample_holds_what_is_published(tmp_path):
  raw = sources.open_bandit_folder()
  open_bandit.write(raw, 'random', 'all', tmp_path)
  log = open_bandit.read(tmp_path, 'random', 'all')
  assert len(log.action) == 10_000
  assert len(log.item_ids) == 80
  assert log.reward.sum() == 38
  np.testing.assert_allclose(log.propensity, 1 / 80)
  assert set(log.position) == {0, 1, 2}
  alpha, beta = sources.open_bandit_prior('all')
  assert alpha.shape == beta.shape == (80,)
