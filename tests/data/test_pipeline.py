"""Batches: every example once an epoch, the right windows, exact resumption."""

import itertools

import numpy as np
import pytest

from rec_jax.data import pipeline
from rec_jax.data.splits import Histories

_LENGTHS = [3, 0, 12, 1, 7]


def _histories() -> Histories:
  """User u has the items 100 u, 100 u + 1, ... in this order."""
  offsets = np.concatenate([[0], np.cumsum(_LENGTHS)])
  items = np.concatenate([100 * u + np.arange(n) for u, n in enumerate(_LENGTHS)])
  return Histories(offsets, np.arange(len(items)), items.astype(np.int32))


def _take(dataset, count):
  return list(itertools.islice(iter(dataset), count))


def test_rows_are_windows_in_order_of_time():
  starts = {user: set() for user, length in enumerate(_LENGTHS) if length}
  for batch in _take(pipeline.history_batches(_histories(), 5, 3, seed=0), 100):
    assert batch['items'].shape == (3, 5)
    assert batch['items'].dtype == batch['user'].dtype == np.int32
    for row, user in zip(batch['items'], batch['user'], strict=True):
      size = min(_LENGTHS[user], 5)
      start = row[0] - 1 - 100 * user
      np.testing.assert_array_equal(row[:size], 100 * user + start + 1 + np.arange(size))
      assert not row[size:].any()
      assert 0 <= start <= _LENGTHS[user] - size
      starts[user].add(int(start))
  # Every window occurs: 12 - 5 + 1 of the longest history, the whole of a short one.
  assert {user: len(found) for user, found in starts.items()} == {0: 1, 2: 8, 3: 1, 4: 3}


@pytest.mark.parametrize('batch_size', [1, 3, 4, 11])
def test_every_text_once_an_epoch_in_a_new_order(batch_size):
  batches = _take(pipeline.text_batches(10, batch_size, seed=1), 60)
  stream = np.concatenate(batches)
  assert all(len(batch) == batch_size for batch in batches)
  epochs = stream[: len(stream) // 10 * 10].reshape(-1, 10)
  assert (np.sort(epochs, axis=1) == np.arange(10)).all()
  assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_users_without_events_do_not_occur():
  batches = _take(pipeline.history_batches(_histories(), 5, 4, seed=0), 10)
  users = np.concatenate([batch['user'] for batch in batches])
  assert np.bincount(users).tolist() == [10, 0, 10, 10, 10]


def test_the_seed_decides():
  def first(seed):
    return [
      batch['items'] for batch in _take(pipeline.history_batches(_histories(), 5, 4, seed), 5)
    ]

  np.testing.assert_array_equal(first(0), first(0))
  assert not np.array_equal(first(0), first(1))


@pytest.mark.parametrize('position', [0, 1, 7])
def test_a_resumed_iterator_continues_exactly(position):
  dataset = pipeline.history_batches(_histories(), 5, 3, seed=2)
  iterator = iter(dataset)
  for _ in range(position):
    next(iterator)
  state = iterator.get_state()
  expected = [next(iterator) for _ in range(5)]
  resumed = iter(pipeline.history_batches(_histories(), 5, 3, seed=2))
  resumed.set_state(state)
  for batch in expected:
    again = next(resumed)
    np.testing.assert_array_equal(again['items'], batch['items'])
    np.testing.assert_array_equal(again['user'], batch['user'])
