"""Text to token ids, by the tokenizer file of the text encoder, whatever its kind."""

import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from rec_jax.types import InputError

# Of the files beside a tokenizer.json, in the order in which they are asked for special tokens.
SPECIAL_TOKENS = ('tokenizer_config.json', 'special_tokens_map.json')

# Texts whose tokens the library holds at once: with their strings and offsets they take kilobytes.
_TEXTS = 1 << 14


class Tokens(NamedTuple):
  """Tokens of N texts.

  Attributes:
    input_ids: [N, L] int32, the id of padding after the end of a text.
    attention_mask: [N, L] int32, 1 at tokens.
    num_cut: texts that had more than L tokens.
  """

  input_ids: np.ndarray
  attention_mask: np.ndarray
  num_cut: int


class Pieces(NamedTuple):
  """Tokens of P pieces of texts, each framed by special tokens as a whole text is.

  Attributes:
    input_ids: [P, L] int32, the id of padding after the end of a piece.
    attention_mask: [P, L] int32, 1 at tokens.
    text: [P] int32, which text a piece is of; in order.
  """

  input_ids: np.ndarray
  attention_mask: np.ndarray
  text: np.ndarray


class Vocabulary(NamedTuple):
  """What models must know of a tokenizer.

  Attributes:
    size: the largest id and one.
    pad: id of padding; where a tokenizer has none, 0, which no mask lets through.
    mask: id that hides a token, if there is one.
    frame: ids that stand around every text.
  """

  size: int
  pad: int
  mask: int | None
  frame: tuple[int, ...]


def encode(path: str | os.PathLike[str], texts: Sequence[str], length: int) -> Tokens:
  """Tokenizes N texts, cut at and padded to L tokens.

  Args:
    path: a `tokenizer.json`; the files beside it name the token of padding.
    texts: N strings.
    length: L, special tokens included.

  Raises:
    InputError: the file cannot be read, or `length` has no room for a token between the special
      ones.
  """
  in_pieces = pieces(path, length)
  parts = []
  for start in range(0, max(len(texts), 1), _TEXTS):
    found = in_pieces(texts[start : start + _TEXTS])
    is_first = np.diff(found.text, prepend=-1) > 0
    num_cut = int((np.bincount(found.text) > 1).sum())
    parts.append(Tokens(found.input_ids[is_first], found.attention_mask[is_first], num_cut))
  ids, masks, numbers = zip(*parts, strict=True)
  return Tokens(np.concatenate(ids), np.concatenate(masks), sum(numbers))


def pieces(path: str | os.PathLike[str], length: int) -> Callable[[Sequence[str]], Pieces]:
  """Tokenizes texts whole: one of more than L tokens comes in several pieces, one after another.

  Args:
    path: a `tokenizer.json`; the files beside it name the token of padding.
    length: L, special tokens included.

  Returns:
    texts -> pieces, at least one of each.

  Raises:
    InputError: as in `encode`.
  """
  tokenizer = _read(path)
  framed = tokenizer.num_special_tokens_to_add(is_pair=False)
  if length <= framed:
    raise InputError(
      f'text_length is {length}; set --config.data.text_length to {framed + 1} or more'
    )
  tokenizer.enable_truncation(length)
  pad = _pad(path, tokenizer)

  def encode(texts: Sequence[str]) -> Pieces:
    try:
      encodings = tokenizer.encode_batch(list(texts))
    except Exception as error:  # What the library raises has no narrower name.
      raise InputError(f'{path}: cannot make tokens of the texts ({_line(error)})') from error
    ids, text = [], []
    for number, encoding in enumerate(encodings):
      ids += [encoding.ids, *(each.ids for each in encoding.overflowing)]
      text += [number] * (1 + len(encoding.overflowing))
    lengths = np.fromiter(map(len, ids), np.int32, len(ids))
    is_token = np.arange(length) < lengths[:, None]
    input_ids = np.full((len(ids), length), pad, np.int32)
    input_ids[is_token] = np.fromiter(itertools.chain.from_iterable(ids), np.int32)
    return Pieces(input_ids, is_token.astype(np.int32), np.array(text, np.int32))

  return encode


def vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
  """Size and special tokens of a `tokenizer.json`, with those that the files beside it name.

  Raises:
    InputError: a file cannot be read.
  """
  tokenizer = _read(path)
  ids = tokenizer.get_vocab(with_added_tokens=True)
  named = [tokenizer.token_to_id(name) for name in _named(path, 'mask_token')]
  usual = [ids.get(name) for name in ('[MASK]', '<mask>')]
  return Vocabulary(
    size=max(ids.values(), default=-1) + 1,
    pad=_pad(path, tokenizer),
    mask=next((each for each in (*named, *usual) if each is not None), None),
    frame=tuple(tokenizer.encode('').ids),
  )


def _read(path: str | os.PathLike[str]) -> tokenizers.Tokenizer:
  """The tokenizer, without the padding and truncation to other lengths that its file carries."""
  if not Path(path).is_file():
    raise InputError(f'{path}: no such file; save the tokenizer of the model as tokenizer.json')
  try:
    tokenizer = tokenizers.Tokenizer.from_file(os.fspath(path))
  except Exception as error:  # What the library raises has no narrower name.
    raise InputError(f'{path}: not a readable tokenizer.json ({_line(error)})') from error
  tokenizer.no_padding()
  tokenizer.no_truncation()
  return tokenizer


def _pad(path: str | os.PathLike[str], tokenizer: tokenizers.Tokenizer) -> int:
  """By name in the files beside, by id in `config.json`, by the usual name."""
  named = [tokenizer.token_to_id(name) for name in _named(path, 'pad_token')]
  usual = [tokenizer.token_to_id(name) for name in ('[PAD]', '<pad>')]
  by_id = _json(Path(path).with_name('config.json')).get('pad_token_id')
  # Older files write -1 where there is none.
  is_known = isinstance(by_id, int) and 0 <= by_id < tokenizer.get_vocab_size()
  found = [*named, by_id if is_known else None, *usual]
  return next((each for each in found if each is not None), 0)


def _named(path: str | os.PathLike[str], kind: str) -> list[str]:
  """The names that the files beside a tokenizer give to a special token."""
  found = [_json(Path(path).with_name(name)).get(kind) for name in SPECIAL_TOKENS]
  # A string, or a dictionary with what else is known of the token.
  names = [each.get('content') if isinstance(each, dict) else each for each in found]
  return [name for name in names if isinstance(name, str)]


def _json(path: Path) -> dict[str, Any]:
  """The fields of a file that may be absent."""
  if not path.is_file():
    return {}
  try:
    fields = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, ValueError) as error:
    raise InputError(f'{path}: not readable as JSON ({error!r})') from error
  return fields if isinstance(fields, dict) else {}


def _line(error: Exception) -> str:
  return ' '.join(str(error).split())
