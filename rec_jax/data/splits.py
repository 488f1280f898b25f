"""Who is judged on what: the global time cut, the ranking split before it, the stream after it.

Events are in the order of (timestamp, source row). Events from the cut on are the exploration
stream. Users and items that do not occur before the cut are cold. What models are trained on and
which events they have to predict is one of two protocols:

leave_last: the cut is at event int(cut * E). Of every user with at least `min_events` events before
it the last two are held out: the last but one validates, the last tests. Other users' training
events may be younger than a test event; `younger_share` says how many.

global_time: the cut is at the first event of the second in which event int(cut * E) lies, and a
second cut, for validation, likewise at nine tenths of the events before it. Training events lie
before the validation cut. The first event of a user between the two validates, the first one after
the cut tests, for users with at least `min_events` events before the one cut or the other. So no
training event is as young as an event to predict, and a user may be judged in one of the two alone.
"""

import dataclasses

import numpy as np

from rec_jax.types import InputError, Interactions

LEAVE_LAST, GLOBAL_TIME = 'leave_last', 'global_time'
PROTOCOLS = (LEAVE_LAST, GLOBAL_TIME)
# Of the events before the cut those before the validation cut. Trained on less, models would know
# less than they could; validated on less, hardly a user comes back: 72 of MovieLens-100k at 70 %.
_TRAINED_SHARE = 0.9


@dataclasses.dataclass(frozen=True)
class Split:
  """The parts of E events of U users and N items.

  Attributes:
    protocol: one of `PROTOCOLS`.
    num_before: events [0, num_before) lie before the cut, the others are the stream.
    train_mask: [E] bool, events to train on; consumers take them from `training_events`.
    validation_event: [V] int64, events to predict when tuning, by user.
    test_event: [R] int64, events to predict when reporting, by user.
    cold_users: [U] bool, users without an event before the cut.
    cold_items: [N] bool, items without an event before the cut.
    trained_items: [N] bool, items with a training event.
  """

  protocol: str
  num_before: int
  train_mask: np.ndarray
  validation_event: np.ndarray
  test_event: np.ndarray
  cold_users: np.ndarray
  cold_items: np.ndarray
  trained_items: np.ndarray


@dataclasses.dataclass(frozen=True)
class Histories:
  """The events of each user in order of time, ragged: user u has [offsets[u], offsets[u + 1]).

  Attributes:
    offsets: [U + 1] int64.
    events: [offsets[U]] int64, indices into the interactions.
    items: [offsets[U]] int32, the items of these events.
  """

  offsets: np.ndarray
  events: np.ndarray
  items: np.ndarray

  @property
  def lengths(self) -> np.ndarray:
    """[U] int64, events of each user."""
    return np.diff(self.offsets)


def split(
  interactions: Interactions,
  num_items: int,
  cut: float,
  min_events: int,
  protocol: str = LEAVE_LAST,
) -> Split:
  """Divides the events by a protocol of this module.

  An earlier cut for tuning is a split of `take_before(interactions, n)`.

  Args:
    interactions: E events.
    num_items: N.
    cut: share of the events before the cut, in (0, 1).
    min_events: at least 3, so that a ranked user keeps a training event.
    protocol: one of `PROTOCOLS`.

  Raises:
    InputError: a parameter out of range, or nobody can be ranked.
  """
  if not 0 < cut < 1:
    raise InputError(f'cut is {cut}; set --config.data.cut between 0 and 1, such as 0.7')
  if min_events < 3:
    raise InputError(
      f'min_events is {min_events}; set --config.data.min_events to 3 or more: '
      'one event to train on, one to validate, one to test'
    )
  divide = {LEAVE_LAST: _leave_last, GLOBAL_TIME: _global_time}[protocol]
  num_before, train_mask, validation_event, test_event = divide(interactions, cut, min_events)
  user, item = interactions.user[:num_before], interactions.item[:num_before]
  trained = np.bincount(interactions.item[train_mask], minlength=num_items) > 0
  return Split(
    protocol=protocol,
    num_before=num_before,
    train_mask=train_mask,
    validation_event=validation_event,
    test_event=test_event,
    cold_users=np.bincount(user, minlength=interactions.num_users) == 0,
    cold_items=np.bincount(item, minlength=num_items) == 0,
    trained_items=trained,
  )


def training_events(interactions: Interactions, split: Split) -> np.ndarray:
  """[E] bool, the events to train on, once it is sure that none of them tells what is to come.

  Raises:
    ValueError: a training event is to be predicted itself, lies after the cut, or, where the
      protocol promises that there is none, is not older than an event to predict.
  """
  events = np.flatnonzero(split.train_mask)
  judged = np.concatenate([split.validation_event, split.test_event])
  leaks = np.isin(events, judged) | (events >= split.num_before)
  if split.protocol == GLOBAL_TIME:
    leaks |= interactions.timestamp[events] >= interactions.timestamp[judged].min()
  if leaks.any():
    event = events[leaks][0]
    raise ValueError(
      f'training event {event} of time {interactions.timestamp[event]} leaks: by the protocol '
      f'{split.protocol} at a cut at event {split.num_before} models must not learn from it'
    )
  return split.train_mask


def thin(interactions: Interactions, split: Split, share: float, seed: int) -> Split:
  """The split with the training events of fewer users; what is judged stays as it is.

  Users are taken in a random order, each with all of its training events, until these are the
  share: a model then learns from histories as long as those that it is asked about.

  Args:
    interactions: E events.
    split: of them.
    share: of the training events, in (0, 1]; one user stays at least. Of two shares under one seed
      the smaller one is a part of the larger one.
    seed: of the order.
  """
  counts = np.bincount(interactions.user[split.train_mask], minlength=interactions.num_users)
  order = np.random.default_rng(seed).permutation(np.flatnonzero(counts))
  before = np.cumsum(counts[order]) - counts[order]
  kept = order[before < share * counts.sum()]
  train_mask = split.train_mask & np.isin(interactions.user, kept)
  trained_items = np.zeros_like(split.trained_items)
  trained_items[interactions.item[train_mask]] = True
  return dataclasses.replace(split, train_mask=train_mask, trained_items=trained_items)


def younger_share(split: Split) -> float:
  """How many of the training events are younger than a test event, mean over the test events."""
  events = np.flatnonzero(split.train_mask)
  older = np.searchsorted(events, split.test_event)
  return float(1 - older.mean() / len(events))


def take_before(interactions: Interactions, num_events: int) -> Interactions:
  """The first `num_events` events; users keep their indices, also those left without events."""
  rating = interactions.rating
  return dataclasses.replace(
    interactions,
    user=interactions.user[:num_events],
    item=interactions.item[:num_events],
    timestamp=interactions.timestamp[:num_events],
    rating=None if rating is None else rating[:num_events],
  )


def first_meetings(interactions: Interactions, num_before: int) -> tuple[Interactions, int]:
  """First events of each user and item, and how many of them are among the first `num_before`."""
  pair = np.stack([interactions.user, interactions.item])
  kept = np.sort(np.unique(pair, axis=1, return_index=True)[1])
  rating = interactions.rating
  first = dataclasses.replace(
    interactions,
    user=interactions.user[kept],
    item=interactions.item[kept],
    timestamp=interactions.timestamp[kept],
    rating=None if rating is None else rating[kept],
  )
  return first, int(np.searchsorted(kept, num_before))


def histories(interactions: Interactions, event_mask: np.ndarray) -> Histories:
  """The events of every user for which `event_mask` [E] is True, in order of time."""
  events = np.flatnonzero(event_mask)
  user = interactions.user[events]
  events = events[np.argsort(user, kind='stable')]
  lengths = np.bincount(user, minlength=interactions.num_users)
  offsets = np.concatenate([[0], np.cumsum(lengths)])
  return Histories(offsets, events, interactions.item[events])


def gather_windows(
  items: np.ndarray, start: np.ndarray, end: np.ndarray, length: int
) -> np.ndarray:
  """[R, L] int32: item index + 1 of items[start : end] in each row, padded with 0 at the end."""
  position = start[:, None] + np.arange(length)
  valid = position < end[:, None]
  windows = np.zeros(position.shape, np.int32)
  windows[valid] = items[position[valid]] + 1
  return windows


def since_first(times: np.ndarray, lengths: np.ndarray) -> np.ndarray:
  """[R, L] int32, seconds from the first of `lengths` [R] events to each at `times` [R, L] int64.

  Padding behind them is 0, and more than 2^31 - 1 seconds are as many.
  """
  seconds = np.where(np.arange(times.shape[1]) < lengths[:, None], times - times[:, :1], 0)
  return np.minimum(seconds, np.iinfo(np.int32).max).astype(np.int32)


def gather_times(times: np.ndarray, start: np.ndarray, end: np.ndarray, length: int) -> np.ndarray:
  """[R, L] int32, `since_first` of times[start : end] in each row, as `gather_windows`."""
  position = np.minimum(start[:, None] + np.arange(length), len(times) - 1)
  return since_first(times[position], np.minimum(end - start, length))


# Number of events before the cut, training mask [E], validation events [V], test events [R].
_Parts = tuple[int, np.ndarray, np.ndarray, np.ndarray]


def _leave_last(interactions: Interactions, cut: float, min_events: int) -> _Parts:
  num_before = int(cut * interactions.num_events)
  before = np.arange(interactions.num_events) < num_before
  past = histories(interactions, before)
  ranked_users = np.flatnonzero(past.lengths >= min_events)
  if not len(ranked_users):
    raise InputError(
      f'no user has {min_events} events among the {num_before} before the cut (the most is '
      f'{past.lengths.max(initial=0)}); lower --config.data.min_events or give more events'
    )
  end = past.offsets[ranked_users + 1]
  validation_event, test_event = past.events[end - 2], past.events[end - 1]
  train_mask = before.copy()
  train_mask[validation_event] = False
  train_mask[test_event] = False
  return num_before, train_mask, validation_event, test_event


def _global_time(interactions: Interactions, cut: float, min_events: int) -> _Parts:
  num_events = interactions.num_events
  num_before = _begin_of_second(interactions, int(cut * num_events))
  num_trained = _begin_of_second(interactions, int(_TRAINED_SHARE * num_before))
  validation_event = _first_events(interactions, num_trained, num_before, min_events)
  test_event = _first_events(interactions, num_before, num_events, min_events)
  return num_before, np.arange(num_events) < num_trained, validation_event, test_event


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
