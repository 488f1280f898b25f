"""Batches: every example once an epoch, the right windows, exact resumption."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import stats

from rec_jax.data import pipeline
from rec_jax.data.pipeline import Augmentation
from rec_jax.data.splits import Histories

_LENGTHS = [3, 0, 12, 1, 7]
_PLAIN = Augmentation(shuffle_ties=False)


def _histories(lengths=_LENGTHS) -> Histories:
  """User u has the items 100 u, 100 u + 1, ... in this order.

  Their events are numbered from behind, so that an event is nowhere its own position.
  """
  offsets = np.concatenate([[0], np.cumsum(lengths)])
  items = np.concatenate([100 * u + np.arange(n) for u, n in enumerate(lengths)])
  return Histories(offsets, np.arange(len(items))[::-1], items.astype(np.int32))


def _by_event(histories, values):
  """Values of the rows of `histories` where the interactions have them."""
  out = np.zeros(len(histories.events), np.asarray(values).dtype)
  out[histories.events] = values
  return out


def _batches(
  length,
  batch_size,
  seed=0,
  augmentation=_PLAIN,
  histories=None,
  times=None,
  rewards=None,
  **context,
):
  histories = histories or _histories()
  size = len(histories.items)
  times = np.arange(size) if times is None else times
  rewards = np.zeros(size, np.float32) if rewards is None else rewards
  return pipeline.history_batches(
    histories,
    _by_event(histories, times),
    _by_event(histories, rewards),
    length,
    batch_size,
    seed,
    augmentation,
    **context,
  )


def _take(dataset, count):
  return list(itertools.islice(iter(dataset), count))


def _rows(dataset, count):
  """The items of `count` batches, without padding, one array a row."""
  return [row[row > 0] - 1 for batch in _take(dataset, count) for row in batch['items']]


def _users(batch):
  """Whose rows they are: user u has the items from 100 u on."""
  return (batch['items'][:, 0] - 1) // 100


def test_rows_are_windows_in_order_of_time():
  starts = {user: set() for user, length in enumerate(_LENGTHS) if length}
  for batch in _take(_batches(5, 3), 100):
    assert batch['items'].shape == batch['rewards'].shape == (3, 5)
    assert batch['items'].dtype == batch['rewards'].dtype == np.int32
    for row, user in zip(batch['items'], _users(batch), strict=True):
      size = min(_LENGTHS[user], 5)
      start = row[0] - 1 - 100 * user
      np.testing.assert_array_equal(row[:size], 100 * user + start + 1 + np.arange(size))
      assert not row[size:].any()
      assert 0 <= start <= _LENGTHS[user] - size
      starts[user].add(int(start))
  # Every window occurs: 12 - 5 + 1 of the longest history, the whole of a short one.
  assert {user: len(found) for user, found in starts.items()} == {0: 1, 2: 8, 3: 1, 4: 3}


@pytest.mark.parametrize('augmentation', [_PLAIN, Augmentation(True, 0.5, 0.5)])
def test_rewards_are_those_of_the_items(augmentation):
  histories = _histories()
  rewards = np.random.default_rng(0).integers(0, 2, len(histories.items))
  reward_of = dict(zip(histories.items.tolist(), rewards.tolist(), strict=True))
  times = np.arange(len(rewards)) // 3
  seen = []
  for batch in _take(_batches(5, 4, 0, augmentation, None, times, np.float32(rewards)), 30):
    for items, liked in zip(batch['items'], batch['rewards'], strict=True):
      expected = [reward_of[item - 1] if item else 0 for item in items.tolist()]
      assert liked.tolist() == expected
      seen += expected
  assert 0 < np.mean(seen) < 1


def test_only_events_of_one_second_change_places():
  times = [1, 1, 1, 2, 5, 5]
  histories = _histories([6])
  shuffled, plain = (
    np.array(_rows(_batches(6, 1, 0, Augmentation(shuffle), histories, times), number))
    for shuffle, number in ((True, 1200), (False, 20))
  )
  np.testing.assert_array_equal(plain, np.tile(np.arange(6), (20, 1)))
  assert (np.sort(shuffled[:, :3]) == [0, 1, 2]).all()
  assert (shuffled[:, 3] == 3).all()
  assert (np.sort(shuffled[:, 4:]) == [4, 5]).all()
  # All 3! 2! orders are as likely; one in which a pair is swapped half as often is told apart.
  _, counts = np.unique(shuffled, axis=0, return_counts=True)
  assert len(counts) == 12
  assert stats.chisquare(counts).pvalue > 1e-3
  skewed = np.repeat([2 / 3, 1 / 3], 6) / 6 * 1200
  assert stats.chisquare(counts, skewed).pvalue < 1e-9


def _dropped_pmf(size, max_drop_rate):
  """P(an event count is dropped): binomial with a rate that is uniform on [0, max_drop_rate]."""
  rates = (np.arange(2000) + 0.5) / 2000 * max_drop_rate
  return stats.binom.pmf(np.arange(size)[:, None], size, rates).mean(1)


def test_the_share_of_dropped_events_is_uniform_up_to_the_maximum():
  size = 12
  rows = _rows(_batches(size, 4, 0, Augmentation(False, 0.5), _histories([size])), 1000)
  assert all((np.diff(row) > 0).all() for row in rows)
  kept = np.bincount(np.concatenate(rows), minlength=size)
  assert stats.chisquare(kept).pvalue > 1e-3
  counts = np.bincount([size - len(row) for row in rows], minlength=size)

  def p_value(pmf):
    # The tail in one cell, so that no expectation is small.
    observed, expected = (np.append(x[:9], x[9:].sum()) for x in (counts, pmf * len(rows)))
    return stats.chisquare(observed, expected / expected.sum() * observed.sum()).pvalue

  assert p_value(_dropped_pmf(size, 0.5)) > 1e-3
  assert p_value(_dropped_pmf(size, 0.75)) < 1e-9
  assert p_value(_dropped_pmf(size, 0.33)) < 1e-9
  assert p_value(stats.binom.pmf(np.arange(size), size, 0.25)) < 1e-9


def test_no_history_is_dropped_altogether():
  rows = _rows(_batches(3, 4, 0, Augmentation(False, 1.0), _histories([1, 2])), 300)
  assert {len(row) for row in rows} == {1, 2}


def test_events_are_dropped_before_the_window_is_cut():
  rows = _rows(_batches(4, 4, 0, Augmentation(False, 0.5, 1.0), _histories([40])), 100)
  assert {len(row) for row in rows} == {4}
  assert np.mean([row[-1] - row[0] for row in rows]) > 3.3


def test_a_window_is_the_end_of_the_history_as_often_as_asked():
  histories = _histories([12])
  for share, end in [(1.0, 1.0), (0.5, 0.5 + 0.5 / 8), (0.0, 1 / 8)]:
    rows = np.array(_rows(_batches(5, 4, 0, Augmentation(False, 0.0, share), histories), 500))
    is_end = rows[:, -1] == 11
    np.testing.assert_array_equal(rows[is_end], np.tile(np.arange(7, 12), (is_end.sum(), 1)))
    assert stats.binomtest(int(is_end.sum()), 2000, end).pvalue > 1e-3
    if share == 0.5:
      assert stats.binomtest(int(is_end.sum()), 2000, end * 1.5).pvalue < 1e-9


def test_users_without_events_do_not_occur():
  users = np.concatenate([_users(batch) for batch in _take(_batches(5, 4), 10)])
  assert np.bincount(users).tolist() == [10, 0, 10, 10, 10]


def test_the_seed_decides():
  def first(seed):
    return [batch['items'] for batch in _take(_batches(5, 4, seed, Augmentation(True, 0.5)), 5)]

  np.testing.assert_array_equal(first(0), first(0))
  assert not np.array_equal(first(0), first(1))


@pytest.mark.parametrize('position', [0, 1, 7])
def test_a_resumed_iterator_continues_exactly(position):
  def iterator():
    times = np.arange(23) // 4
    return iter(_batches(5, 3, 2, Augmentation(True, 0.5, 0.5), times=times))

  interrupted = iterator()
  for _ in range(position):
    next(interrupted)
  state = interrupted.get_state()
  expected = [next(interrupted) for _ in range(5)]
  resumed = iterator()
  resumed.set_state(state)
  for batch in expected:
    again = next(resumed)
    assert again.keys() == batch.keys() == {'items', 'rewards', 'times', 'history'}
    for name in batch:
      np.testing.assert_array_equal(again[name], batch[name])


def test_histories_are_read_whole_unless_events_are_hidden():
  for batch in _take(_batches(5, 4, 0, Augmentation(False, 0.3)), 10):
    np.testing.assert_array_equal(batch['history'], batch['items'])
  seen = _take(_batches(12, 4, 0, Augmentation(False, max_mask_rate=0.5)), 50)
  items, history = (
    np.concatenate([batch[name] for batch in seen]) for name in ('items', 'history')
  )
  hidden = history == 0
  np.testing.assert_array_equal(history[~hidden], items[~hidden])
  # Nothing is lost of what is to be predicted.
  assert {len(row[row > 0]) for row in items} == set(_LENGTHS) - {0}
  assert 0.1 < hidden[items[:, -1] > 0].mean() < 0.3


def test_cropped_and_reordered_windows_keep_their_rewards():
  histories = _histories()
  rewards = np.random.default_rng(0).integers(0, 2, len(histories.items))
  reward_of = dict(zip(histories.items.tolist(), rewards.tolist(), strict=True))
  varied = Augmentation(False, max_crop_rate=0.5, max_reorder_rate=0.5)
  lengths, is_sorted = set(), []
  for batch in _take(_batches(12, 4, 0, varied, rewards=np.float32(rewards)), 50):
    for items, liked in zip(batch['items'], batch['rewards'], strict=True):
      size = int((items > 0).sum())
      assert (items[:size] > 0).all()
      assert len(set(items[:size])) == size
      assert liked.tolist() == [reward_of[item - 1] if item else 0 for item in items.tolist()]
      lengths.add(size)
      is_sorted.append((np.diff(items[:size]) > 0).all())
      # A stretch of one history, in whatever order.
      assert np.ptp(items[:size]) == size - 1
  assert lengths >= {1, 2, 3, 7, 8, 12}
  assert 0.2 < np.mean(is_sorted) < 0.9


def test_times_are_seconds_since_the_first_event_of_a_row():
  size = sum(_LENGTHS)
  times = 10**9 + np.cumsum(np.random.default_rng(0).integers(0, 5, size))
  # Further back than 32 bits count.
  times[0] = -(10**9)
  time_of = dict(zip(_histories().items.tolist(), times.tolist(), strict=True))
  varied = Augmentation(True, 0.3, 0.3, max_crop_rate=0.5)
  for augmentation in (varied, dataclasses.replace(varied, max_reorder_rate=0.9)):
    for batch in _take(_batches(5, 4, 0, augmentation, None, times), 30):
      assert batch['times'].dtype == np.int32 and batch['times'].shape == (4, 5)
      for items, seconds in zip(batch['items'], batch['times'], strict=True):
        rows = [time_of[item - 1] for item in items[items > 0].tolist()]
        # Events that change places leave their times behind.
        since = [min(time - min(rows), 2**31 - 1) for time in sorted(rows)]
        assert seconds.tolist() == since + [0] * (5 - len(rows))


def test_the_context_of_an_event_goes_where_its_item_goes():
  histories = _histories()
  item = _by_event(histories, histories.items)
  varied = Augmentation(max_drop_rate=0.3, max_crop_rate=0.5, max_mask_rate=0.5, max_reorder_rate=1)
  made = _batches(5, 3, augmentation=varied, context=lambda events: events[..., None])
  for batch in _take(made, 20):
    assert batch['context'].shape == (3, 5, 1)
    event, is_event = batch['context'][..., 0], batch['items'] > 0
    np.testing.assert_array_equal(event >= 0, is_event)
    np.testing.assert_array_equal(item[event[is_event]] + 1, batch['items'][is_event])
  assert 'context' not in _take(_batches(5, 3), 1)[0]
