"""A corpus on disk: every piece of every text once, what is held out apart, in bounded memory."""

import collections
import itertools
import tracemalloc

import numpy as np
import pytest

from rec_jax.data import corpus, text_batches, token_records
from rec_jax.data.tokenizer import Pieces
from rec_jax.types import InputError

LENGTH, PAD = 4, 9_999_999


def encode(texts):
  """Numbers are tokens; a text of more than four of them comes in pieces."""
  rows = [
    (number, words[start : start + LENGTH])
    for number, words in enumerate(text.split() for text in texts)
    for start in range(0, len(words), LENGTH)
  ]
  ids = np.full((len(rows), LENGTH), PAD, np.int32)
  for row, (_, words) in enumerate(rows):
    ids[row, : len(words)] = words
  return Pieces(ids, (ids != PAD).astype(np.int32), np.array([number for number, _ in rows]))


def write(directory, lines, num_held_out=3, seed=0, has_target=lambda ids, mask: mask.any(1)):
  path = directory / 'corpus.txt'
  path.write_text('\n'.join(lines))
  token_records.write(
    directory / 'out', [str(path)], encode, has_target, num_held_out=num_held_out, seed=seed
  )
  return token_records.read(directory / 'out', LENGTH, PAD)


def rows(batch):
  both = zip(batch.input_ids, batch.mask, strict=True)
  return [tuple(row[chosen > 0].tolist()) for row, chosen in both]


def lines(count):
  """Text t has the tokens 10 t, 10 t + 1, ... of which there are 1 to 9."""
  return [' '.join(str(10 * t + i) for i in range(1 + t % 9)) for t in range(count)]


def test_every_piece_is_trained_on_or_its_text_is_held_out(tmp_path, monkeypatch):
  monkeypatch.setattr(token_records, '_SHARD', 7)
  texts = lines(20)
  found = write(tmp_path, texts)
  train = rows(found.train.read(np.arange(found.train.size)))
  held_out = rows(found.held_out)
  assert len(held_out) == 3
  kept = {row[0] // 10 for row in held_out}
  # Each by its first piece.
  assert all(row[0] % 10 == 0 for row in held_out)
  expected = [
    tuple(map(int, words[start : start + LENGTH]))
    for number, words in enumerate(text.split() for text in texts)
    for start in range(0, len(words), LENGTH)
    if number not in kept
  ]
  assert collections.Counter(train) == collections.Counter(expected)
  assert found.counts == {
    'files': 1,
    'texts': 20,
    'texts_in_pieces': sum(1 + t % 9 > LENGTH for t in range(20)),
    'pieces': len(expected),
  }
  assert len(list((tmp_path / 'out').glob('train-*'))) == -(-len(expected) // 7)


def test_texts_are_held_out_alike():
  """Each of ten about as often as it should be: the first and the last are no exception."""
  counts = np.zeros(10)
  for seed in range(200):
    kept, stream = [], ([np.array([number])] for number in range(10))
    passed = list(token_records._keep_apart(stream, 3, seed, kept, collections.Counter()))
    counts[np.concatenate([text[0] for text in kept])] += 1
    assert len(passed) + len(kept) == 10
  # 60 of 200 are expected of each, with a standard deviation of 6.5.
  assert counts.sum() == 600
  assert counts.min() > 38 and counts.max() < 82


def test_at_most_half_is_held_out_and_texts_without_a_target_are_not_there(tmp_path):
  found = write(tmp_path, ['10', '20', '30 31', '40', '50'], num_held_out=9)
  assert (len(found.held_out.mask), found.train.size) == (2, 3)
  found = write(
    tmp_path, ['10', '20 21', '30 31', '40 41'], has_target=lambda ids, mask: mask.sum(1) > 1
  )
  assert found.counts['texts'] == 3
  assert 10 not in [row[0] for row in rows(found.train.read(np.arange(found.train.size)))]
  with pytest.raises(InputError, match='1 texts with a token to predict are too few'):
    write(tmp_path, ['10'])


def test_batches_resume_where_they_were(tmp_path):
  source = write(tmp_path, lines(40)).train
  batches = iter(text_batches.batches(source, 8, 0))
  list(itertools.islice(batches, 3))
  state = batches.get_state()
  expected = list(itertools.islice(batches, 4))
  again = iter(text_batches.batches(source, 8, 0))
  again.set_state(state)
  for one, other in zip(expected, itertools.islice(again, 4), strict=True):
    np.testing.assert_array_equal(one.input_ids, other.input_ids)
    assert one.input_ids.shape == one.mask.shape == (8, LENGTH)


def test_memory_does_not_grow_with_the_corpus(tmp_path, monkeypatch):
  monkeypatch.setattr(corpus, 'PIECE', 1 << 9)

  def peak(count):
    tracemalloc.start()
    found = write_stream(tmp_path, count)
    next(iter(text_batches.batches(found.train, 8, 0)))
    assert found.train.size == count - 3
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used

  # The least of three: what measures the coverage of lines allocates too, now and then.
  few, many = (min(peak(count) for _ in range(3)) for count in (2000, 8000))
  assert many < 1.2 * few


def write_stream(directory, count):
  """Lines of 60 characters of which a batch holds 137; only the first number is a token."""
  with (directory / 'corpus.txt').open('w') as stream:
    stream.writelines(f'{t:060}\n' for t in range(count))

  def first(texts):
    ids = np.full((len(texts), LENGTH), PAD, np.int32)
    ids[:, 0] = [int(text) for text in texts]
    return Pieces(ids, (ids != PAD).astype(np.int32), np.arange(len(texts)))

  token_records.write(
    directory / 'out', [str(directory / 'corpus.txt')], first, lambda ids, mask: mask.any(1), 3, 0
  )
  return token_records.read(directory / 'out', LENGTH, PAD)


def test_damage_is_told(tmp_path):
  write(tmp_path, lines(9))
  shard = tmp_path / 'out/train-00000.array_record'
  content = bytearray(shard.read_bytes())
  content[len(content) // 2] ^= 1
  shard.write_bytes(content)
  with pytest.raises(InputError, match='out is damaged; delete it'):
    token_records.read(tmp_path / 'out', LENGTH, PAD)


def test_a_write_that_fails_leaves_nothing(tmp_path):
  with pytest.raises(InputError):
    write(tmp_path, ['10'])
  assert not token_records.is_written(tmp_path / 'out')
