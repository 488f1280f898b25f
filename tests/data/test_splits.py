"""The time cut: hand-made cases, a brute-force loop, and the numbers of MovieLens-100k."""

import dataclasses

import numpy as np
import pytest

from rec_jax.data import split_protocols, splits
from rec_jax.types import InputError, Interactions


def _interactions(user, item) -> Interactions:
  user = np.asarray(user, np.int32)
  return Interactions(
    user=user,
    item=np.asarray(item, np.int32),
    timestamp=np.arange(len(user), dtype=np.int64),
    rating=np.ones(len(user), np.float32),
    user_ids=np.array([str(u) for u in range(user.max() + 1)]),
  )


def _random(seed=0, num_events=300, num_users=25, num_items=40) -> Interactions:
  rng = np.random.default_rng(seed)
  pairs = rng.permutation(num_users * num_items)[:num_events]
  user = np.unique(pairs // num_items, return_inverse=True)[1]
  return _interactions(user, pairs % num_items)


def test_split_by_hand():
  #                            |cut
  user = [0, 0, 1, 0, 1, 0, 1, 2, 0, 1]
  item = [0, 1, 0, 2, 1, 3, 2, 0, 5, 3]
  split = splits.split(_interactions(user, item), num_items=7, cut=0.7, min_events=4)
  assert split.num_before == 7
  assert split.validation_event.tolist() == [3]
  assert split.test_event.tolist() == [5]
  assert np.flatnonzero(split.train_mask).tolist() == [0, 1, 2, 4, 6]
  assert split.cold_users.tolist() == [False, False, True]
  assert split.cold_items.tolist() == [False, False, False, False, True, True, True]
  # Item 3 occurs before the cut, but only as an event to predict.
  assert split.trained_items.tolist() == [True, True, True, False, False, False, False]
  # Of events 0, 1, 2, 4, 6 one is younger than event 5.
  assert splits.younger_share(split) == pytest.approx(1 / 5)


def test_split_against_a_loop_over_users():
  interactions = _random()
  split = splits.split(interactions, num_items=40, cut=0.6, min_events=5)
  expected = {}
  for u in range(interactions.num_users):
    past = [e for e in range(int(0.6 * 300)) if interactions.user[e] == u]
    if len(past) >= 5:
      expected[u] = (past[-2], past[-1])
  assert interactions.user[split.test_event].tolist() == list(expected)
  held_out = list(zip(split.validation_event, split.test_event, strict=True))
  assert held_out == list(expected.values())
  train = set(range(180)) - {event for pair in expected.values() for event in pair}
  assert set(np.flatnonzero(split.train_mask)) == train


def test_global_time_by_hand():
  #       |validation cut at 6      |cut at 10, where three share a second
  user = [0, 1, 0, 1, 0, 1, 1, 0, 2, 0, 2, 0, 1, 0]
  item = [0, 1, 2, 3, 4, 5, 0, 1, 2, 5, 4, 3, 6, 7]
  time = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 11]
  interactions = dataclasses.replace(_interactions(user, item), timestamp=np.array(time))
  split = splits.split(interactions, 8, cut=0.8, min_events=3, protocol='global_time')
  # int(0.8 * 14) = 11 lies within second 10, which begins at event 10; int(0.9 * 10) = 9.
  assert split.num_before == 10
  assert np.flatnonzero(split.train_mask).tolist() == [*range(9)]
  # User 0 has four events before event 9, and the next one there.
  assert split.validation_event.tolist() == [9]
  # User 2 has one event before the cut, less than three.
  assert split.test_event.tolist() == [11, 12]
  assert np.flatnonzero(split.cold_items).tolist() == [6, 7]
  assert splits.younger_share(split) == 0


@pytest.mark.parametrize('seed', range(5))
def test_global_time_against_a_loop(seed):
  interactions = _random(seed)
  rng = np.random.default_rng(seed)
  time = np.sort(rng.integers(0, 120, interactions.num_events))
  interactions = dataclasses.replace(interactions, timestamp=time)
  split = splits.split(interactions, 40, cut=0.6, min_events=4, protocol='global_time')
  cut = next(e for e in range(300) if time[e] == time[180])
  second = next(e for e in range(300) if time[e] == time[int(0.9 * cut)])
  for found, begin, end in ((split.validation_event, second, cut), (split.test_event, cut, 300)):
    expected = []
    for u in range(interactions.num_users):
      mine = [e for e in range(300) if interactions.user[e] == u]
      later = [e for e in mine if begin <= e < end]
      if sum(e < begin for e in mine) >= 4 and later:
        expected.append(later[0])
    assert found.tolist() == expected
  trained = np.flatnonzero(splits.training_events(interactions, split))
  assert trained.tolist() == [e for e in range(300) if time[e] < time[second]]
  assert time[trained].max() < time[split.validation_event].min()
  assert set(np.flatnonzero(split.trained_items)) == {*interactions.item[trained].tolist()}


def test_younger_share_against_a_loop():
  split = splits.split(_random(), num_items=40, cut=0.6, min_events=5)
  events = np.flatnonzero(split.train_mask)
  expected = np.mean([np.mean(events > test) for test in split.test_event])
  assert expected > 0.02
  assert splits.younger_share(split) == pytest.approx(expected)


@pytest.mark.parametrize('protocol', split_protocols.PROTOCOLS)
@pytest.mark.parametrize('leak', ['validation', 'test', 'after the cut'])
def test_a_training_event_that_leaks_stops_the_run(protocol, leak):
  interactions = _random()
  split = splits.split(interactions, 40, 0.6, 4, protocol)
  assert splits.training_events(interactions, split) is split.train_mask
  event = {
    'validation': split.validation_event[0],
    'test': split.test_event[0],
    'after the cut': split.num_before + 50,
  }[leak]
  split.train_mask[event] = True
  with pytest.raises(ValueError, match=f'training event {event} of time .* leaks'):
    splits.training_events(interactions, split)


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('protocol', split_protocols.PROTOCOLS)
def test_contract_of_a_protocol(protocol, seed):
  interactions = _random(seed, num_events=400)
  split = splits.split(interactions, 40, 0.7, 4, protocol)
  assert split.protocol == protocol
  train = np.flatnonzero(splits.training_events(interactions, split))
  validation, test = split.validation_event, split.test_event
  assert len(train) and len(validation) and len(test)
  # No event is in two parts, or twice in one.
  everything = np.concatenate([train, validation, test])
  assert len(np.unique(everything)) == len(everything)
  assert train.max() < split.num_before
  # The parts of all but global_time lie before the cut; all are by user, then time.
  assert (protocol == 'global_time') == (test.max() >= split.num_before)
  for part in (validation, test):
    assert (np.diff(interactions.user[part] * 10_000 + part) > 0).all()
  # Who is judged had enough events before the cut, and the same draw comes again.
  past = np.bincount(interactions.user[: split.num_before], minlength=interactions.num_users)
  assert past[interactions.user[test]].min() >= 4
  again = splits.split(interactions, 40, 0.7, 4, protocol)
  for field in ('train_mask', 'validation_event', 'test_event'):
    np.testing.assert_array_equal(getattr(again, field), getattr(split, field))


@pytest.mark.parametrize('protocol', split_protocols.PROTOCOLS)
def test_from_one_row_up_a_split_is_whole_or_refused_in_one_line(protocol):
  made, refused = 0, 0
  for num_events in [*range(1, 30), 60, 120]:
    interactions = _random(1, num_events, num_users=4, num_items=40)
    try:
      split = splits.split(interactions, 40, 0.7, 3, protocol)
    except InputError as error:
      assert '--config.data.' in str(error) and '\n' not in str(error)
      refused += 1
      continue
    made += 1
    assert splits.training_events(interactions, split).any()
    assert len(split.validation_event) and len(split.test_event)
  assert made and refused
  nobody = splits.take_before(_random(), 0)
  with pytest.raises(InputError, match='no events'):
    splits.split(nobody, 40, 0.7, 3, protocol)


def test_random_ratio_holds_out_a_tenth_of_each_user():
  interactions = _random(num_events=700)
  split = splits.split(interactions, 40, 0.8, 5, 'random_ratio')
  past = np.bincount(interactions.user[: split.num_before], minlength=interactions.num_users)
  expected = np.where(past >= 5, np.maximum(np.round(past / 10 + 1e-9), 1), 0)
  assert (past < 5).sum() + (expected > 1).sum() > 1
  for part in (split.validation_event, split.test_event):
    number = np.bincount(interactions.user[part], minlength=interactions.num_users)
    np.testing.assert_array_equal(number, expected)
  # At random: not the last ones, as leave_last takes them.
  last = splits.split(interactions, 40, 0.8, 5).test_event
  assert np.isin(last, split.test_event).mean() < 0.5
  assert splits.younger_share(split) > 0.25


def test_cold_users_are_held_out_whole():
  interactions = _random(num_events=500)
  split = splits.split(interactions, 40, 0.8, 5, 'cold_user')
  user = interactions.user
  judged = [user[part] for part in (split.validation_event, split.test_event)]
  assert [len(set(group)) for group in judged] == [len(group) for group in judged] == [3, 3]
  for event in np.concatenate([split.validation_event, split.test_event]):
    mine = np.flatnonzero(user[: split.num_before] == user[event])
    assert event == mine[-1] and len(mine) >= 5
  expected = ~np.isin(user, np.concatenate(judged))
  expected[split.num_before :] = False
  np.testing.assert_array_equal(split.train_mask, expected)


def test_cold_items_are_held_out_whole():
  interactions = _random(num_events=500)
  split = splits.split(interactions, 40, 0.8, 5, 'cold_item')
  user, item = interactions.user[: split.num_before], interactions.item[: split.num_before]
  held_out = np.unique(item[~split.train_mask[: split.num_before]])
  assert len(held_out) == 8 and not split.trained_items[held_out].any()
  judged = [set(item[part]) for part in (split.validation_event, split.test_event)]
  assert not judged[0] & judged[1] and max(map(len, judged)) <= 4
  assert split.new_items.tolist() == (~split.trained_items).tolist()
  for event in split.test_event:
    mine = np.flatnonzero((user == user[event]) & np.isin(item, list(judged[1])))
    assert event == mine[-1]


@pytest.mark.parametrize(('protocol', 'field'), [('cold_user', 'user'), ('cold_item', 'item')])
def test_an_event_of_what_is_held_out_leaks(protocol, field):
  interactions = _random(num_events=500)
  split = splits.split(interactions, 40, 0.8, 5, protocol)
  labels = getattr(interactions, field)[: split.num_before]
  same = np.flatnonzero(labels == labels[split.test_event[0]])
  event = same[~np.isin(same, split.test_event)][0]
  split.train_mask[event] = True
  with pytest.raises(ValueError, match=f'training event {event} of time .* leaks'):
    splits.training_events(interactions, split)


def test_another_users_later_event_leaks_by_global_time_alone():
  interactions = _random()
  for protocol, leaks in (('leave_last', False), ('random_ratio', False), ('global_time', True)):
    split = splits.split(interactions, 40, 0.6, 4, protocol)
    judged = {*split.validation_event.tolist(), *split.test_event.tolist()}
    event = max(set(range(split.num_before)) - judged)
    split.train_mask[event] = True
    if leaks:
      with pytest.raises(ValueError, match='leaks'):
        splits.training_events(interactions, split)
    else:
      assert splits.training_events(interactions, split)[event]


def test_nobody_who_comes_back_is_one_line():
  # Each user has all events in one go.
  user, item = np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10)
  with pytest.raises(
    InputError, match='no user with 5 events among the first 50 has one in the 50'
  ):
    splits.split(_interactions(user, item), 10, 0.5, 5, 'global_time')


def test_an_earlier_cut_never_sees_later_events():
  interactions = _random()
  prefix = splits.take_before(interactions, 150)
  assert prefix.num_events == 150
  assert prefix.num_users == interactions.num_users
  split = splits.split(prefix, num_items=40, cut=0.8, min_events=3)
  assert split.num_before == 120
  assert len(split.train_mask) == 150
  assert max(split.test_event) < 120


def test_first_meetings_are_the_first_event_of_each_pair():
  rng = np.random.default_rng(0)
  log = Interactions(
    user=rng.integers(0, 4, 60).astype(np.int32),
    item=rng.integers(0, 9, 60).astype(np.int32),
    timestamp=np.sort(rng.integers(0, 40, 60)),
    rating=rng.random(60).astype(np.float32),
    user_ids=np.arange(4).astype(str),
  )
  met, kept = set(), []
  for event, pair in enumerate(zip(log.user.tolist(), log.item.tolist(), strict=True)):
    if pair not in met:
      kept.append(event)
    met.add(pair)
  first, num_before = splits.first_meetings(log, 20)
  assert num_before == sum(event < 20 for event in kept) < 20
  for name in ('user', 'item', 'timestamp', 'rating'):
    np.testing.assert_array_equal(getattr(first, name), getattr(log, name)[kept])
  assert log.has_repeats and not first.has_repeats


def test_histories_are_ragged_and_in_order_of_time():
  interactions = _interactions([1, 0, 1, 1, 1, 3], [4, 5, 6, 7, 8, 9])
  past = splits.histories(interactions, np.array([True, True, True, False, True, True]))
  assert past.lengths.tolist() == [1, 3, 0, 1]
  assert past.items.tolist() == [5, 4, 6, 8, 9]
  assert past.events.tolist() == [1, 0, 2, 4, 5]


@pytest.mark.parametrize(
  ('cut', 'min_events', 'message'),
  [
    (1.0, 5, 'cut is 1.0; set --config.data.cut'),
    (0.7, 2, 'min_events is 2; set --config.data.min_events to 3'),
    (0.7, 100, r'no user has 100 events among the 210 before the cut \(the most is \d+\); lower'),
  ],
)
def test_wrong_parameters(cut, min_events, message):
  with pytest.raises(InputError, match=message):
    splits.split(_random(), num_items=40, cut=cut, min_events=min_events)


@pytest.mark.parametrize(
  ('cut', 'before', 'after', 'known', 'share', 'cold_items'),
  [
    (0.7, 674, 401, 132, 0.138, 109),
    (0.8, 751, 301, 109, 0.148, 66),
    (0.9, 867, 166, 90, 0.289, 45),
  ],
)
def test_time_structure_of_movielens(movielens, cut, before, after, known, share, cold_items):
  # The published description of the data; needs the installed package.
  interactions, items = movielens
  split = splits.split(interactions, items.num_items, cut, min_events=5)
  late = interactions.user[split.num_before :]
  assert (~split.cold_users).sum() == before
  assert len(np.unique(late)) == after
  assert (~split.cold_users[np.unique(late)]).sum() == known
  assert (~split.cold_users[late]).mean() == pytest.approx(share, abs=5e-4)
  assert split.cold_items.sum() == cold_items


def test_ranked_users_of_movielens(movielens):
  interactions, items = movielens
  split = splits.split(interactions, items.num_items, cut=0.7, min_events=5)
  assert len(split.test_event) == 672
  assert split.cold_items[interactions.item[split.num_before :]].sum() == 550
  assert split.train_mask.sum() == 70_000 - 2 * 672


def test_a_thinned_split_loses_whole_histories_and_nothing_that_is_judged():
  interactions = _random()
  whole = splits.split(interactions, 40, 0.7, 5)
  half, tenth, other = (
    splits.thin(interactions, whole, share, seed) for share, seed in ((0.5, 0), (0.1, 0), (0.1, 1))
  )
  counts = np.bincount(interactions.user[whole.train_mask])
  for share, part in ((0.5, half), (0.1, tenth), (0.1, other)):
    left = np.bincount(interactions.user[part.train_mask], minlength=len(counts))
    assert ((left == 0) | (left == counts)).all()
    # The share, and of the last user perhaps more.
    assert 0 <= left.sum() - share * counts.sum() <= counts.max()
    known = np.isin(np.arange(40), interactions.item[part.train_mask])
    np.testing.assert_array_equal(part.trained_items, known)
    for field in ('validation_event', 'test_event', 'cold_users', 'cold_items'):
      np.testing.assert_array_equal(getattr(part, field), getattr(whole, field))
  # Fewer are a part of more.
  assert (tenth.train_mask <= half.train_mask).all()
  assert (tenth.train_mask != other.train_mask).any()
  everything = splits.thin(interactions, whole, 1.0, 0)
  np.testing.assert_array_equal(everything.train_mask, whole.train_mask)
  np.testing.assert_array_equal(everything.trained_items, whole.trained_items)
  one = splits.thin(interactions, whole, 1e-9, 0).train_mask
  assert len(np.unique(interactions.user[one])) == 1
