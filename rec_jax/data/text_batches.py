"""Batches of texts for training, and how they are laid out so that little of them is padding.

padded: every batch is as long as the longest text may be.
buckets: texts of like length come together, and a batch is as long as its longest text. No text
  meets another, so it serves every model and every loss; but a batch is no sample of all lengths.
packed: the texts of a batch stand one after another in fewer, longer rows, and attention stays
  within a text. The batches are those of 'padded', and so are their losses, to rounding.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import grain
import numpy as np

from rec_jax.data import pipeline

LAYOUTS = ('padded', 'buckets', 'packed')
# Batches whose texts are sorted by length together, and what a batch is rounded up to: a multiple
# in tokens, a share of its rows. Each shape is compiled once.
_POOL, _MULTIPLE, _ROWS = 16, 8, 8
# Rows of packed texts are so many times as long as the longest text may be: in short rows there is
# no room for a second text, in long ones attention would cost more than the padding.
_WIDTH = 4


class TextBatch(NamedTuple):
  """B texts of L tokens, in arrays of NumPy or, within a step, of JAX.

  Attributes:
    input_ids: [B, L] int32.
    mask: [B, L] int32, 1 at tokens, padding at the end.
    packed: [R, W] int32 or None: which of the B * L tokens stands at each place of R rows of W
      tokens, -1 for none.
  """

  input_ids: Any
  mask: Any
  packed: Any = None


class PairBatch(NamedTuple):
  """B pairs of a text and the text of an item that belongs to it.

  Attributes:
    text: B texts.
    other: B texts of items.
    item: [B] int32, which items these are: one that several rows have is no negative of theirs.
  """

  text: TextBatch
  other: TextBatch
  item: Any


Batch = TextBatch | PairBatch


class TextSource(NamedTuple):
  """Texts or pairs of them as tokens, in memory or on disk.

  Attributes:
    size: how many there are.
    read: indices [B] -> a batch that is not packed.
  """

  size: int
  read: Callable[[np.ndarray], Batch]


def in_memory(input_ids: np.ndarray, mask: np.ndarray) -> TextSource:
  """Texts [n, L] that are there already."""
  return TextSource(len(input_ids), lambda index: TextBatch(input_ids[index], mask[index]))


def batches(
  source: TextSource, batch_size: int, seed: int, layout: str = 'padded', micro_batches: int = 1
) -> grain.IterDataset:
  """Batches of texts, each text once an epoch in a new order.

  Args:
    source: of the texts.
    batch_size: B.
    seed: of the order.
    layout: one of `LAYOUTS`.
    micro_batches: parts of a batch; of more than one, arrays have them as their first axis.

  Returns:
    Batches without end, whose position a checkpoint can keep.
  """
  order = pipeline.shuffled(source.size, batch_size, seed)
  if layout == 'buckets':
    order = _sorted_by_length(order, source, batch_size, seed)

  def lay_out(index: np.ndarray) -> Batch:
    batch = source.read(index)
    if isinstance(batch, TextBatch):
      return _lay_out(batch, layout, micro_batches)
    text, other = (_lay_out(each, layout, micro_batches) for each in batch[:2])
    return PairBatch(text, other, _parts(batch.item, micro_batches))

  return order.map(lay_out).to_iter_dataset(pipeline.READ)


def pack(lengths: np.ndarray, length: int, width: int) -> np.ndarray:
  """Places of texts in rows: the longest first, each in the first row with room (Johnson 1973).

  Args:
    lengths: [B] tokens of each text, at most `width`.
    length: L, by which token t of text b has the number b * L + t.
    width: W.

  Returns:
    [R, W] int32, the number of the token at each place, -1 for none.
  """
  rows: list[np.ndarray] = []
  ends: list[int] = []
  for text in np.argsort(-lengths, kind='stable'):
    size = int(lengths[text])
    row = next((row for row, end in enumerate(ends) if end + size <= width), len(rows))
    if row == len(rows):
      rows.append(np.full(width, -1, np.int32))
      ends.append(0)
    rows[row][ends[row] : ends[row] + size] = text * length + np.arange(size)
    ends[row] += size
  return np.stack(rows)


def _sorted_by_length(
  order: grain.MapDataset, source: TextSource, batch_size: int, seed: int
) -> grain.MapDataset:
  """The indices of each pool of batches sorted by length, its batches in a random order."""

  @functools.lru_cache(maxsize=2)
  def pool(number: int) -> np.ndarray:
    index = np.concatenate([order[_POOL * number + place] for place in range(_POOL)])
    # By chunks, because a pool is many times as large as a batch.
    parts = np.split(index, _POOL)
    lengths = np.concatenate([_text_of(source.read(part)).mask.sum(1) for part in parts])
    by_length = index[np.argsort(lengths, kind='stable')].reshape(_POOL, batch_size)
    return np.random.default_rng((seed, 2, number)).permutation(by_length)

  return grain.MapDataset.range(len(order)).map(lambda batch: pool(batch // _POOL)[batch % _POOL])


def _text_of(batch: Batch) -> TextBatch:
  return batch if isinstance(batch, TextBatch) else batch.text


def _lay_out(batch: TextBatch, layout: str, parts: int) -> TextBatch:
  """The parts of one batch, in the same shape."""
  ids, mask, _ = batch
  lengths, length = mask.sum(1), mask.shape[1]
  if layout == 'buckets':
    length = min(length, -(-int(lengths.max()) // _MULTIPLE) * _MULTIPLE)
    ids, mask = ids[:, :length], mask[:, :length]
  packed = None
  if layout == 'packed':
    rows = [pack(part, length, _WIDTH * length) for part in np.split(lengths, parts)]
    step = max(1, len(lengths) // parts // _WIDTH // _ROWS)
    num_rows = -(-max(map(len, rows)) // step) * step
    packed = np.concatenate(
      [np.pad(part, ((0, num_rows - len(part)), (0, 0)), constant_values=-1) for part in rows]
    )
    packed = _parts(packed, parts)
  return TextBatch(_parts(ids, parts), _parts(mask, parts), packed)


def _parts(array: np.ndarray, number: int) -> np.ndarray:
  """As it is, or with its parts as the first axis."""
  return array if number == 1 else array.reshape(number, -1, *array.shape[1:])
