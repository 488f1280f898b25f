"""Endless batches for training, as Grain iterators whose position a checkpoint can keep.

A batch depends on the seed and its number alone, so that a resumed run sees the same batches.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable

import grain
import numpy as np

from rec_jax.data.sequence_augmentation import crop, hide, reorder
from rec_jax.data.splits import Histories, since_first

# Examples whose order is a permutation in memory; that of more is computed index by index, which
# takes a microsecond each.
_MOST_IN_MEMORY = 1 << 20
# Batches are small arrays gathered by NumPy: more threads or a deeper buffer only take cores from
# the computation.
READ = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How a training history is varied from epoch to epoch.

  Attributes:
    shuffle_ties: whether events of the same second come in a new random order: their order in the
      source says nothing.
    max_drop_rate: each history loses a share of its events, drawn uniformly from [0, this]; it
      then reads like that of a user who did not see all of it.
    recent_window_rate: how often the window is the end of the history, where recommendations are
      asked for, instead of a random place in it.
    max_crop_rate: each window loses a share of its events at its ends, drawn from [0, this].
    max_mask_rate: likewise, events that are predicted but not read.
    max_reorder_rate: likewise, events that are shuffled.
  """

  shuffle_ties: bool = True
  max_drop_rate: float = 0.0
  recent_window_rate: float = 0.0
  max_crop_rate: float = 0.0
  max_mask_rate: float = 0.0
  max_reorder_rate: float = 0.0


def history_batches(
  histories: Histories,
  timestamp: np.ndarray,
  reward: np.ndarray,
  length: int,
  batch_size: int,
  seed: int,
  augmentation: Augmentation,
  context: Callable[[np.ndarray], np.ndarray | None] = lambda events: None,
) -> grain.IterDataset:
  """Batches of histories for causal training on the next item.

  Each epoch visits every user with an event once, in a new order. Of a history longer than
  `length` a window is taken, anew in each epoch.

  Args:
    histories: training events only.
    timestamp: [E] of all interactions.
    reward: [E] of all interactions, 0 or 1.
    length: L + 1, items of a row: a model that reads L of them can predict them all.
    batch_size: B.
    seed: of the order and the windows.
    augmentation: how windows are varied.
    context: of events [B, L + 1], -1 for padding, such as `Encoded.context`.

  Returns:
    Dictionaries of `items` [B, L + 1] int32 (item index + 1 in order of time, padded with 0 at the
    end), `rewards` [B, L + 1] int32, `times` [B, L + 1] int32, seconds from the first event of a
    row to each, `history` [B, L + 1] int32, `items` with 0 also where an event is hidden from the
    model that predicts it, and, if it is not None, what `context` says of each event.
  """
  users = np.flatnonzero(histories.lengths > 0).astype(np.int32)
  time, rewards = timestamp[histories.events], reward[histories.events].astype(np.int32)

  def windows(index: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    items = np.zeros((len(index), length), np.int32)
    liked, (times, number) = np.zeros_like(items), np.zeros((2, *items.shape), np.int64)
    for row, user in enumerate(users[index]):
      begin, end = histories.offsets[user], histories.offsets[user + 1]
      events = begin + _augmented(rng, time[begin:end], length, augmentation)
      items[row, : len(events)] = histories.items[events] + 1
      liked[row, : len(events)] = rewards[events]
      times[row, : len(events)] = time[events]
      number[row, : len(events)] = histories.events[events] + 1
    made, number = _varied(rng, items, liked, times, number, augmentation)
    known = context(number - 1)
    return made if known is None else made | {'context': known}

  return shuffled(len(users), batch_size, seed).random_map(windows).to_iter_dataset(READ)


def shuffled(num_examples: int, batch_size: int, seed: int) -> grain.MapDataset:
  """Batches [B] int32 of the indices of one epoch after another, without end.

  Whole batches are the elements: Grain's own shuffle costs 60 us an index (7 ms for 128), which
  would take a tenth of the time of a small model's training.
  """

  @functools.lru_cache(maxsize=2)
  def permutation(epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_examples)

  def place(rank: np.ndarray, epoch: int) -> np.ndarray:
    if num_examples <= _MOST_IN_MEMORY:
      return permutation(epoch)[rank]
    key = int(np.random.default_rng((seed, epoch)).integers(2**32))
    shuffled = functools.partial(
      grain.experimental.index_shuffle, max_index=num_examples - 1, seed=key, rounds=4
    )
    return np.array([shuffled(int(each)) for each in rank])

  def indices(batch: int) -> np.ndarray:
    position = np.arange(batch * batch_size, (batch + 1) * batch_size)
    epoch, rank = np.divmod(position, num_examples)
    batches = [place(rank[epoch == e], int(e)) for e in np.unique(epoch)]
    return np.concatenate(batches).astype(np.int32)

  return grain.MapDataset.range(sys.maxsize // batch_size).seed(seed).map(indices)


def _varied(
  rng: np.random.Generator,
  items: np.ndarray,
  rewards: np.ndarray,
  times: np.ndarray,
  number: np.ndarray,
  augmentation: Augmentation,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Crops, reorders and hides events of windows [B, L + 1]; which `number` each then has."""
  width = items.shape[1]
  start, lengths = crop(rng, (items > 0).sum(1), augmentation.max_crop_rate)
  order = reorder(rng, lengths, width, augmentation.max_reorder_rate) + start[:, None]
  is_event = np.arange(width) < lengths[:, None]
  items, rewards, number = (
    np.where(is_event, np.take_along_axis(x, np.minimum(order, width - 1), axis=1), 0)
    for x in (items, rewards, number)
  )
  hidden = hide(rng, lengths, width, augmentation.max_mask_rate)
  # Events that change places leave their times: those of a row only rise.
  place = np.minimum(start[:, None] + np.arange(width), width - 1)
  made = {
    'items': items,
    'rewards': rewards,
    'times': since_first(np.take_along_axis(times, place, axis=1), lengths),
    'history': np.where(hidden, 0, items),
  }
  return made, number


def _augmented(
  rng: np.random.Generator, time: np.ndarray, length: int, augmentation: Augmentation
) -> np.ndarray:
  """Positions, at least one and at most `length`, of a window of a history with these times."""
  order = np.arange(len(time))
  if augmentation.shuffle_ties:
    order = np.lexsort((rng.random(len(time)), time))
  kept = rng.random(len(time)) >= rng.uniform(0, augmentation.max_drop_rate)
  if kept.any():
    order = order[kept]
  spare = max(len(order) - length, 0)
  is_last = rng.random() < augmentation.recent_window_rate
  start = spare if is_last else rng.integers(0, spare, endpoint=True)
  return order[start : start + length]
