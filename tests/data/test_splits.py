"""The time cut: hand-made cases, a brute-force loop, and the numbers of MovieLens-100k."""

import numpy as np
import pytest

from rec_jax.data import splits
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
  assert split.ranked_users.tolist() == [0]
  assert split.validation_event.tolist() == [3]
  assert split.test_event.tolist() == [5]
  assert np.flatnonzero(split.train_mask).tolist() == [0, 1, 2, 4, 6]
  assert split.cold_users.tolist() == [False, False, True]
  assert split.cold_items.tolist() == [False, False, False, False, True, True, True]


def test_split_against_a_loop_over_users():
  interactions = _random()
  split = splits.split(interactions, num_items=40, cut=0.6, min_events=5)
  expected = {}
  for u in range(interactions.num_users):
    past = [e for e in range(int(0.6 * 300)) if interactions.user[e] == u]
    if len(past) >= 5:
      expected[u] = (past[-2], past[-1])
  assert split.ranked_users.tolist() == list(expected)
  held_out = list(zip(split.validation_event, split.test_event, strict=True))
  assert held_out == list(expected.values())
  train = set(range(180)) - {event for pair in expected.values() for event in pair}
  assert set(np.flatnonzero(split.train_mask)) == train


def test_an_earlier_cut_never_sees_later_events():
  interactions = _random()
  prefix = splits.take_before(interactions, 150)
  assert prefix.num_events == 150
  assert prefix.num_users == interactions.num_users
  split = splits.split(prefix, num_items=40, cut=0.8, min_events=3)
  assert split.num_before == 120
  assert len(split.train_mask) == 150
  assert max(split.test_event) < 120


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
  assert len(split.ranked_users) == 672
  assert split.cold_items[interactions.item[split.num_before :]].sum() == 550
  assert split.train_mask.sum() == 70_000 - 2 * 672
