"""Endless batches for training, as Grain iterators whose position a checkpoint can keep.

A batch depends on the seed and its number alone, so that a resumed run sees the same batches.
"""

import functools
import sys

import grain
import numpy as np

from rec_jax.data.splits import Histories, gather_windows

# Batches are small arrays gathered by NumPy: more threads or a deeper buffer only take cores from
# the computation.
_READ = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)


def history_batches(
  histories: Histories, length: int, batch_size: int, seed: int
) -> grain.IterDataset:
  """Batches of histories for causal training on the next item.

  Each epoch visits every user with an event once, in a new order. Of a history longer than
  `length` a random window is taken, anew in each epoch.

  Args:
    histories: training events only.
    length: L + 1, items of a row: a model that reads L of them can predict them all.
    batch_size: B.
    seed: of the order and the windows.

  Returns:
    Dictionaries of `items` [B, L + 1] int32 (item index + 1 in order of time, padded with 0 at the
    end) and `user` [B] int32.
  """
  users = np.flatnonzero(histories.lengths > 0).astype(np.int32)

  def windows(index: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    user = users[index]
    spare = np.maximum(histories.lengths[user] - length, 0)
    start = histories.offsets[user] + rng.integers(0, spare, endpoint=True)
    return {
      'items': gather_windows(histories.items, start, histories.offsets[user + 1], length),
      'user': user,
    }

  return _shuffled(len(users), batch_size, seed).random_map(windows).to_iter_dataset(_READ)


def text_batches(num_texts: int, batch_size: int, seed: int) -> grain.IterDataset:
  """Batches of indices [B] int32 into `num_texts` texts, each once an epoch in a new order."""
  return _shuffled(num_texts, batch_size, seed).to_iter_dataset(_READ)


def _shuffled(num_examples: int, batch_size: int, seed: int) -> grain.MapDataset:
  """Batches [B] int32 of the indices of one epoch after another, without end.

  Whole batches are the elements: Grain's own shuffle costs 60 us an index (7 ms for 128), which
  would take a tenth of the time of a small model's training.
  """

  @functools.lru_cache(maxsize=2)
  def permutation(epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_examples)

  def indices(batch: int) -> np.ndarray:
    position = np.arange(batch * batch_size, (batch + 1) * batch_size)
    epoch, rank = np.divmod(position, num_examples)
    batches = [permutation(int(e))[rank[epoch == e]] for e in np.unique(epoch)]
    return np.concatenate(batches).astype(np.int32)

  return grain.MapDataset.range(sys.maxsize // batch_size).seed(seed).map(indices)
