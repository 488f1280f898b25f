"""Which events models train on and which they have to predict: the protocols of `data.splits`.

All but the last two hold out events that come late or at random of users that models know; what
is drawn is drawn by a fixed generator, so that all runs on the same events agree.

leave_last: the cut is at event int(cut * E). Of every user with at least `min_events` events before
it the last two are held out: the last but one validates, the last tests. Other users' training
events may be younger than a test event; `splits.younger_share` says how many.

global_time: the cut is at the first event of the second in which event int(cut * E) lies, and a
second cut, for validation, likewise at nine tenths of the events before it. Training events lie
before the validation cut. The first event of a user between the two validates, the first one after
the cut tests, for users with at least `min_events` events before the one cut or the other. So no
training event is as young as an event to predict, and a user may be judged in one of the two alone.

random_ratio: the cut as in leave_last. Of every user with at least `min_events` events before it a
tenth at random, one at least, tests, and as many validate. Most training events may be younger.

cold_user: the cut as in leave_last. Of the users with at least `min_events` events before it a
tenth at random tests, and as many validate: none of their events is trained on, and the last one
before the cut is to be predicted from the others. (Users without any event before the cut are
something else: they are in the stream.)

cold_item: the cut as in leave_last. A tenth of the items with events before it, at random, tests,
and as many validate: none of their events is trained on. Of every user with at least `min_events`
events before the cut the last one on an item of each kind is to be predicted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rec_jax.types import InputError, Interactions

LEAVE_LAST, GLOBAL_TIME, RANDOM_RATIO = 'leave_last', 'global_time', 'random_ratio'
COLD_USER, COLD_ITEM = 'cold_user', 'cold_item'
# Of the events before the cut those before the validation cut. Trained on less, models would know
# less than they could; validated on less, hardly a user comes back: 72 of MovieLens-100k at 70 %.
_TRAINED_SHARE = 0.9
# Of what is drawn at random: for testing, and as much for validation.
_HELD_OUT_SHARE = 0.1


class Parts(NamedTuple):
  """What a protocol makes of E events.

  Attributes:
    num_before: number of events before the cut.
    train_mask: [E] bool.
    validation_event: [V] int64, events to predict, by user and time.
    test_event: [R] int64, likewise.
  """

  num_before: int
  train_mask: np.ndarray
  validation_event: np.ndarray
  test_event: np.ndarray


def _leave_last(interactions: Interactions, cut: float, min_events: int) -> Parts:
  past = _past(interactions, cut, min_events)
  end = past.end[past.users]
  return _parts(interactions, past, past.events[end - 2], past.events[end - 1])


def _global_time(interactions: Interactions, cut: float, min_events: int) -> Parts:
  num_events = interactions.num_events
  num_before = _begin_of_second(interactions, int(cut * num_events))
  num_trained = _begin_of_second(interactions, int(_TRAINED_SHARE * num_before))
  validation_event = _first_events(interactions, num_trained, num_before, min_events)
  test_event = _first_events(interactions, num_before, num_events, min_events)
  return Parts(num_before, np.arange(num_events) < num_trained, validation_event, test_event)


def _random_ratio(interactions: Interactions, cut: float, min_events: int) -> Parts:
  past = _past(interactions, cut, min_events)
  user = interactions.user[past.events]
  # A random order within each user, who keeps a place in the order of users.
  order = np.lexsort([_generator().random(len(user)), user])
  place = np.arange(len(user)) - (past.end - past.number)[user]
  number = np.where(past.number >= min_events, np.maximum(_share(past.number), 1), 0)[user]
  tests, validates = place < number, (place >= number) & (place < 2 * number)
  return _parts(
    interactions, past, *(past.events[np.sort(order[held])] for held in (validates, tests))
  )


def _cold_user(interactions: Interactions, cut: float, min_events: int) -> Parts:
  past = _past(interactions, cut, min_events)
  validates, tests = _draw(past.users)
  last = past.events[past.end - 1]
  held_out = np.isin(interactions.user, np.concatenate([validates, tests]))
  return _parts(interactions, past, last[np.sort(validates)], last[np.sort(tests)], held_out)


def _cold_item(interactions: Interactions, cut: float, min_events: int) -> Parts:
  past = _past(interactions, cut, min_events)
  groups = _draw(np.unique(interactions.item[: past.num_before]))
  item, user = interactions.item[past.events], interactions.user[past.events]
  judged = []
  for group in groups:
    place = np.flatnonzero(np.isin(item, group) & (past.number[user] >= min_events))
    # Events are by user and time, so that the last of a user stands before the next user's first.
    is_last = np.diff(user[place], append=-1) != 0
    judged.append(past.events[place[is_last]])
  held_out = np.isin(interactions.item, np.concatenate(groups))
  return _parts(interactions, past, judged[0], judged[1], held_out)


PROTOCOLS: dict[str, Callable[[Interactions, float, int], Parts]] = {
  LEAVE_LAST: _leave_last,
  GLOBAL_TIME: _global_time,
  RANDOM_RATIO: _random_ratio,
  COLD_USER: _cold_user,
  COLD_ITEM: _cold_item,
}


class _Past(NamedTuple):
  """The events before a cut.

  Attributes:
    num_before: their number.
    events: [num_before] int64, by user and time.
    number: [U] events of each user.
    end: [U] end of each user's events within `events`.
    users: users with at least `min_events` events, one or more.
  """

  num_before: int
  events: np.ndarray
  number: np.ndarray
  end: np.ndarray
  users: np.ndarray


def _past(interactions: Interactions, cut: float, min_events: int) -> _Past:
  num_before = int(cut * interactions.num_events)
  user = interactions.user[:num_before]
  count = np.bincount(user, minlength=interactions.num_users)
  users = np.flatnonzero(count >= min_events)
  if not len(users):
    raise InputError(
      f'no user has {min_events} events among the {num_before} before the cut (the most is '
      f'{count.max(initial=0)}); lower --config.data.min_events or give more events'
    )
  return _Past(num_before, np.argsort(user, kind='stable'), count, np.cumsum(count), users)


def _parts(
  interactions: Interactions,
  past: _Past,
  validation_event: np.ndarray,
  test_event: np.ndarray,
  held_out: np.ndarray | None = None,
) -> Parts:
  """Trained on are all events before the cut that are neither judged nor held out [E]."""
  train_mask = np.arange(interactions.num_events) < past.num_before
  if held_out is not None:
    train_mask &= ~held_out
  train_mask[validation_event] = False
  train_mask[test_event] = False
  return Parts(past.num_before, train_mask, validation_event, test_event)


def _generator() -> np.random.Generator:
  return np.random.default_rng(0)


def _share(number: np.ndarray) -> np.ndarray:
  """A tenth of these, to the nearest."""
  return (_HELD_OUT_SHARE * number + 0.5).astype(int)


def _draw(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Those that validate and those that test, one of each where there are two or more."""
  number = max(1, int(_share(np.asarray(len(labels)))))
  drawn = _generator().permutation(labels)
  return drawn[number : 2 * number], drawn[:number]


def _begin_of_second(interactions: Interactions, event: int) -> int:
  """The first event of the same second: a cut between equals in time would leak."""
  time = interactions.timestamp
  return int(np.searchsorted(time, time[event]))


def _first_events(interactions: Interactions, begin: int, end: int, min_events: int) -> np.ndarray:
  """[R], the first event in [begin, end) of each user with enough before `begin`, by user."""
  known = np.bincount(interactions.user[:begin], minlength=interactions.num_users) >= min_events
  users, first = np.unique(interactions.user[begin:end], return_index=True)
  if not known[users].any():
    raise InputError(
      f'no user with {min_events} events among the first {begin} has one in the {end - begin} that '
      'follow; lower --config.data.min_events, move --config.data.cut or set --config.data.split '
      f'to {LEAVE_LAST}'
    )
  return begin + first[known[users]]
