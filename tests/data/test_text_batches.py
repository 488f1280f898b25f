"""Batches of texts in every layout: each text once an epoch, and little padding."""

import itertools

import numpy as np
import pytest

from rec_jax.data import pipeline, text_batches
from rec_jax.data.text_batches import PairBatch, TextBatch, TextSource

LENGTH = 16


def texts(number, seed=0):
  """Text t begins with token t + 1; lengths are from 1 to L."""
  rng = np.random.default_rng(seed)
  mask = (np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (number, 1))).astype(np.int32)
  ids = np.where(mask, np.arange(LENGTH) + 1000, 0).astype(np.int32)
  ids[:, 0] = np.arange(number) + 1
  return ids, mask


def take(count, *given, **options):
  return list(itertools.islice(iter(text_batches.batches(*given, **options)), count))


def first_tokens(batches):
  return np.concatenate(
    [batch.input_ids.reshape(-1, batch.input_ids.shape[-1])[:, 0] for batch in batches]
  )


@pytest.mark.parametrize('batch_size', [1, 3, 4, 11])
def test_every_text_once_an_epoch_in_a_new_order(batch_size):
  batches = take(60, text_batches.in_memory(*texts(10)), batch_size, 1)
  stream = first_tokens(batches)
  assert all(len(batch.input_ids) == batch_size for batch in batches)
  epochs = stream[: len(stream) // 10 * 10].reshape(-1, 10)
  assert (np.sort(epochs, axis=1) == np.arange(1, 11)).all()
  assert len({tuple(epoch) for epoch in epochs}) == len(epochs)


def test_the_order_of_many_texts_is_computed_and_complete(monkeypatch):
  monkeypatch.setattr(pipeline, '_MOST_IN_MEMORY', 10)
  stream = first_tokens(take(10, text_batches.in_memory(*texts(50)), 10, 0))
  epochs = stream[:50], stream[50:]
  for epoch in epochs:
    assert sorted(epoch) == list(range(1, 51))
  assert not np.array_equal(*epochs)
  assert not np.array_equal(epochs[0], np.arange(1, 51))


def tokens(batch):
  return int(batch.mask.sum())


def places(batch):
  return (batch.mask if batch.packed is None else batch.packed).size


def test_buckets_hold_the_same_texts_with_little_padding():
  source = text_batches.in_memory(*texts(640))
  padded, buckets = (take(20, source, 32, 0, layout=each) for each in ('padded', 'buckets'))
  # A pool of 16 batches has the same texts.
  np.testing.assert_array_equal(
    sorted(first_tokens(padded[:16])), sorted(first_tokens(buckets[:16]))
  )
  assert {batch.mask.shape for batch in buckets} == {(32, 8), (32, 16)}
  waste = [sum(places(b) - tokens(b) for b in each[:16]) for each in (padded, buckets)]
  assert waste[1] < 0.6 * waste[0]
  # In no order of length.
  widths = [batch.mask.shape[1] for batch in buckets[:16]]
  assert widths not in (sorted(widths), sorted(widths, reverse=True))


def test_buckets_resume():
  dataset = text_batches.batches(text_batches.in_memory(*texts(100)), 8, 0, layout='buckets')
  one = iter(dataset)
  list(itertools.islice(one, 5))
  state = one.get_state()
  other = iter(dataset)
  other.set_state(state)
  np.testing.assert_array_equal(next(one).input_ids, next(other).input_ids)


def test_packed_rows_hold_every_token_once_and_are_nearly_full():
  source = text_batches.in_memory(*texts(640))
  padded, packed = (take(20, source, 32, 0, layout=each) for each in ('padded', 'packed'))
  for one, other in zip(padded, packed, strict=True):
    np.testing.assert_array_equal(one.input_ids, other.input_ids)
    found = other.packed[other.packed >= 0]
    np.testing.assert_array_equal(np.sort(found), np.flatnonzero(one.mask.reshape(-1)))
  waste = [sum(places(b) - tokens(b) for b in each) for each in (padded, packed)]
  assert waste[1] < 0.3 * waste[0]
  # Few shapes, because each is compiled.
  assert len({batch.packed.shape for batch in packed}) <= 3


def test_a_text_stands_whole_in_one_row():
  lengths = np.array([5, 3, 3, 4, 1])
  packed = text_batches.pack(lengths, 5, 8)
  expected = [
    [0, 1, 2, 3, 4, 5, 6, 7],
    [15, 16, 17, 18, 10, 11, 12, 20],
  ]
  np.testing.assert_array_equal(packed, expected)


def pairs(number):
  ids, mask = texts(number)

  def read(index):
    text = TextBatch(ids[index], mask[index])
    return PairBatch(text, TextBatch(ids[index][:, ::-1], mask[index][:, ::-1]), index)

  return TextSource(number, read)


def test_micro_batches_are_the_parts_of_the_batch():
  for source in (text_batches.in_memory(*texts(40)), pairs(40)):
    (whole,) = take(1, source, 12, 0)
    (parts,) = take(1, source, 12, 0, micro_batches=3)
    for one, other in zip(flat(whole), flat(parts), strict=True):
      assert other.shape == (3, 4, *one.shape[1:])
      np.testing.assert_array_equal(one, other.reshape(one.shape))
  (packed,) = take(1, text_batches.in_memory(*texts(40)), 12, 0, layout='packed', micro_batches=3)
  for part, mask in zip(packed.packed, packed.mask, strict=True):
    np.testing.assert_array_equal(np.sort(part[part >= 0]), np.flatnonzero(mask.reshape(-1)))


def flat(batch):
  if isinstance(batch, TextBatch):
    return [batch.input_ids, batch.mask]
  return [*flat(batch.text), *flat(batch.other), batch.item]
