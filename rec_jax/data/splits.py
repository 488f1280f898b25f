"""Who is judged on what: the global time cut, the ranking split before it, the stream after it.

Events are in the order of (timestamp, source row). Events from the cut on are the exploration
stream. Users and items that do not occur before the cut are cold. What models are trained on and
which events they have to predict is one of the protocols of `data.split_protocols`.
"""

import dataclasses

import numpy as np

from rec_jax.data.split_protocols import (
  COLD_ITEM,
  COLD_USER,
  GLOBAL_TIME,
  LEAVE_LAST,
  PROTOCOLS,
  Parts,
)
from rec_jax.types import InputError, Interactions


@dataclasses.dataclass(frozen=True)
class Split:
  """The parts of E events of U users and N items.

  Attributes:
    protocol: one of `split_protocols.PROTOCOLS`.
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

  @property
  def new_items(self) -> np.ndarray:
    """[N] bool, items of which no model may read: cold ones, and those that cold_item holds out."""
    return ~self.trained_items if self.protocol == COLD_ITEM else self.cold_items


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
  """Divides the events by a protocol.

  An earlier cut for tuning is a split of `take_before(interactions, n)`.

  Args:
    interactions: E events.
    num_items: N.
    cut: share of the events before the cut, in (0, 1).
    min_events: at least 3, so that a ranked user keeps a training event.
    protocol: one of `split_protocols.PROTOCOLS`.

  Raises:
    InputError: a parameter out of range, nobody can be ranked, or a part is empty.
  """
  if not 0 < cut < 1:
    raise InputError(f'cut is {cut}; set --config.data.cut between 0 and 1, such as 0.7')
  if min_events < 3:
    raise InputError(
      f'min_events is {min_events}; set --config.data.min_events to 3 or more: '
      'one event to train on, one to validate, one to test'
    )
  if not interactions.num_events:
    raise InputError('there are no events to split: give some')
  parts = PROTOCOLS[protocol](interactions, cut, min_events)
  _refuse_empty(parts, protocol)
  num_before, train_mask, validation_event, test_event = parts
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
      protocol promises that there is none, is not older than an event to predict, or of a user or
      an item that is judged.
  """
  events = np.flatnonzero(split.train_mask)
  judged = np.concatenate([split.validation_event, split.test_event])
  leaks = np.isin(events, judged) | (events >= split.num_before)
  if split.protocol == GLOBAL_TIME:
    leaks |= interactions.timestamp[events] >= interactions.timestamp[judged].min()
  held_out = {COLD_USER: interactions.user, COLD_ITEM: interactions.item}.get(split.protocol)
  if held_out is not None:
    leaks |= np.isin(held_out[events], held_out[judged])
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


def first_of_pairs(user: np.ndarray, item: np.ndarray) -> np.ndarray:
  """Positions in users [E] and items [E] at which a pair of both comes first, in their order."""
  pair = user.astype(np.int64) * (int(item.max(initial=0)) + 1) + item
  return np.sort(np.unique(pair, return_index=True)[1])


def first_meetings(interactions: Interactions, num_before: int) -> tuple[Interactions, int]:
  """First events of each user and item, and how many of them are among the first `num_before`."""
  kept = first_of_pairs(interactions.user, interactions.item)
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


def _refuse_empty(parts: Parts, protocol: str) -> None:
  sizes = {
    'to train on': int(parts.train_mask.sum()),
    'to validate on': len(parts.validation_event),
    'to test on': len(parts.test_event),
  }
  for purpose, size in sizes.items():
    if not size:
      raise InputError(
        f'the split {protocol} leaves no event {purpose}, of {parts.num_before} before the cut; '
        f'lower --config.data.min_events, set --config.data.split to {LEAVE_LAST} or give more '
        'events'
      )
