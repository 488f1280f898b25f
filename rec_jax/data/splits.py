"""Who is judged on what: the global time cut, the ranking split before it, the stream after it.

Protocol. Events are in the order of (timestamp, source row). Those before index int(cut * E) are
for training, but of every user with at least `min_events` of them the last two are held out: the
last but one for validation, the last for test. Events from the cut on are the exploration stream.
Users and items that do not occur before the cut are cold.
"""

import dataclasses

import numpy as np

from rec_jax.types import InputError, Interactions


@dataclasses.dataclass(frozen=True)
class Split:
  """The parts of E events of U users and N items.

  Attributes:
    num_before: events [0, num_before) lie before the cut, the others are the stream.
    train_mask: [E] bool, events to train on: before the cut and not held out.
    ranked_users: [R] int32, users with a validation and a test event, ascending.
    validation_event: [R] int64, index of the event to predict when tuning.
    test_event: [R] int64, index of the event to predict when reporting.
    cold_users: [U] bool, users without an event before the cut.
    cold_items: [N] bool, items without an event before the cut.
  """

  num_before: int
  train_mask: np.ndarray
  ranked_users: np.ndarray
  validation_event: np.ndarray
  test_event: np.ndarray
  cold_users: np.ndarray
  cold_items: np.ndarray


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


def split(interactions: Interactions, num_items: int, cut: float, min_events: int) -> Split:
  """Divides the events by the protocol of this module.

  An earlier cut for tuning is a split of `take_before(interactions, n)`.

  Args:
    interactions: E events.
    num_items: N.
    cut: share of the events before the cut, in (0, 1).
    min_events: at least 3, so that a ranked user keeps a training event.

  Raises:
    InputError: a parameter out of range, or no user has enough events before the cut.
  """
  if not 0 < cut < 1:
    raise InputError(f'cut is {cut}; set --config.data.cut between 0 and 1, such as 0.7')
  if min_events < 3:
    raise InputError(
      f'min_events is {min_events}; set --config.data.min_events to 3 or more: '
      'one event to train on, one to validate, one to test'
    )
  num_events, num_users = interactions.num_events, interactions.num_users
  num_before = int(cut * num_events)
  before = np.arange(num_events) < num_before
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
  return Split(
    num_before=num_before,
    train_mask=train_mask,
    ranked_users=ranked_users.astype(np.int32),
    validation_event=validation_event,
    test_event=test_event,
    cold_users=np.bincount(interactions.user[before], minlength=num_users) == 0,
    cold_items=np.bincount(interactions.item[before], minlength=num_items) == 0,
  )


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
