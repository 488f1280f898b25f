"""A corpus as tokens on disk, from which any number of texts is trained on in the same memory.

directory/train-00000.array_record  a record a piece of a text: its token ids, little-endian int32
directory/held_out.npz              token ids and masks of the first pieces of other texts
directory/corpus.json               counts, fingerprint, checksums; written last
"""

import collections
import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grain
import numpy as np
from array_record.python import array_record_module

from rec_jax import files
from rec_jax.data import corpus
from rec_jax.data.text_batches import TextBatch, TextSource
from rec_jax.data.tokenizer import Pieces
from rec_jax.types import InputError

_SUMMARY, _HELD_OUT = 'corpus.json', 'held_out.npz'
# Records of a file: few files are few threads for a batch, and none is too large to copy.
_SHARD = 1 << 20

# Whether pieces [n, L] with masks [n, L] have anything to predict.
HasTarget = Callable[[np.ndarray, np.ndarray], np.ndarray]
# The token ids of the pieces of one text.
_Text = list[np.ndarray]


class TokenRecords(NamedTuple):
  """A tokenized corpus.

  Attributes:
    train: pieces to train on.
    held_out: the first pieces of the texts held out.
    counts: `files`, `texts`, `pieces` to train on, and `texts_in_pieces`, those of more tokens
      than L.
  """

  train: TextSource
  held_out: TextBatch
  counts: dict[str, int]


def write(
  directory: Path,
  paths: Sequence[str],
  encode: Callable[[Sequence[str]], Pieces],
  has_target: HasTarget,
  num_held_out: int,
  seed: int,
) -> None:
  """Reads the files of a corpus once and writes their tokens; nothing is there before all is.

  Args:
    directory: is replaced.
    paths: from `corpus.paths`.
    encode: texts -> pieces.
    has_target: pieces without a target are left out, and texts of such pieces alone.
    num_held_out: texts that are kept apart, drawn from all alike; at most half.
    seed: of the draw.

  Raises:
    InputError: the files are not as `corpus.texts` wants them, or hold fewer than two texts.
  """
  fingerprint = hashlib.sha256()

  def read() -> Iterator[_Text]:
    for batch in corpus.batches(corpus.texts(paths)):
      fingerprint.update('\0'.join([*batch, '']).encode())
      yield from _texts(encode(batch), has_target)

  kept: list[_Text] = []
  counts: collections.Counter[str] = collections.Counter(files=len(paths), texts_in_pieces=0)
  with files.replacing_directory(directory) as partial:
    partial.mkdir(parents=True)
    counts['pieces'] = _write_shards(partial, _keep_apart(read(), num_held_out, seed, kept, counts))
    if not kept:
      raise InputError(
        f'{paths[0]}: {counts["texts"]} texts with a token to predict are too few; give more by '
        f'--{corpus.FLAG}'
      )
    np.savez(partial / _HELD_OUT, *(text[0] for text in kept))
    summary = {'counts': counts, 'fingerprint': fingerprint.hexdigest()}
    files.write_json(partial / _SUMMARY, summary | {'sha256': _checksums(partial)})


def is_written(directory: Path) -> bool:
  """Whether a corpus is there whole."""
  return (directory / _SUMMARY).is_file()


def read(directory: Path, length: int, pad: int) -> TokenRecords:
  """Opens what `write` wrote.

  Args:
    directory: as given to it.
    length: L, tokens of the longest piece.
    pad: id after the end of shorter ones.

  Raises:
    InputError: files are damaged.
  """
  summary = _verified_summary(directory)
  shards = sorted(str(path) for path in directory.glob('*.array_record'))
  source = grain.sources.ArrayRecordDataSource(shards)

  def take(index: np.ndarray) -> TextBatch:
    records = source.__getitems__(index.tolist())
    return _padded([np.frombuffer(record, '<i4') for record in records], length, pad)

  with np.load(directory / _HELD_OUT) as held_out:
    kept = [held_out[name] for name in held_out.files]
  return TokenRecords(TextSource(len(source), take), _padded(kept, length, pad), summary['counts'])


def _keep_apart(
  texts: Iterable[_Text], num: int, seed: int, kept: list[_Text], counts: collections.Counter[str]
) -> Iterator[np.ndarray]:
  """The pieces of the texts of a stream but for a uniform sample (Vitter 1985, algorithm R).

  Args:
    texts: of any number.
    num: how large the sample is, at most half of them.
    seed: of the draw.
    kept: gets the sample.
    counts: gets `texts` and `texts_in_pieces`.
  """
  draw = random.Random(seed)
  for text in texts:
    counts['texts'] += 1
    counts['texts_in_pieces'] += len(text) > 1
    if len(kept) < num:
      kept.append(text)
      continue
    place = draw.randrange(counts['texts'])
    if place < num:
      kept[place], text = text, kept[place]
    yield from text
  most = min(num, counts['texts'] // 2)
  draw.shuffle(kept)
  for text in kept[most:]:
    yield from text
  del kept[most:]


def _texts(pieces: Pieces, has_target: HasTarget) -> Iterator[_Text]:
  chosen = has_target(pieces.input_ids, pieces.attention_mask)
  ids, lengths = pieces.input_ids[chosen], pieces.attention_mask[chosen].sum(1)
  text: _Text = []
  last = -1
  for row, length, number in zip(ids, lengths, pieces.text[chosen], strict=True):
    if number != last and text:
      yield text
      text = []
    # Copied, because a view would keep its whole batch.
    text.append(row[:length].copy())
    last = number
  if text:
    yield text


def _write_shards(directory: Path, pieces: Iterable[np.ndarray]) -> int:
  """How many there were."""
  number = 0
  with contextlib.ExitStack() as stack:
    for number, piece in enumerate(pieces, 1):
      if (number - 1) % _SHARD == 0:
        stack.close()
        path = directory / f'train-{(number - 1) // _SHARD:05}.array_record'
        # Records are read one by one, in random order.
        writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
        stack.callback(writer.close)
      writer.write(piece.astype('<i4').tobytes())
  return number


def _padded(rows: Sequence[np.ndarray], length: int, pad: int) -> TextBatch:
  is_token = np.arange(length) < np.array([len(row) for row in rows])[:, None]
  ids = np.full(is_token.shape, pad, np.int32)
  ids[is_token] = np.concatenate(rows)
  return TextBatch(ids, is_token.astype(np.int32))


def _checksums(directory: Path) -> dict[str, str]:
  paths = sorted(path for path in directory.iterdir() if path.name != _SUMMARY)
  return {path.name: files.sha256(path) for path in paths}


def _verified_summary(directory: Path) -> dict[str, Any]:
  with contextlib.suppress(OSError, ValueError, KeyError):
    summary = json.loads((directory / _SUMMARY).read_text())
    if summary['sha256'] == _checksums(directory):
      return summary
  raise InputError(
    f'{directory} is damaged; delete it and run python -m experiments.pretrain again'
  )
