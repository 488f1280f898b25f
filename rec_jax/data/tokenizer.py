"""Text to token ids, by the tokenizer file of the text encoder."""

import os
from collections.abc import Sequence

import numpy as np
import tokenizers

from rec_jax.types import InputError

# Of BERT's uncased vocabulary, which MiniLM shares.
PAD_ID, CLS_ID, SEP_ID, MASK_ID = 0, 101, 102, 103


def encode(
  tokenizer_path: str | os.PathLike, texts: Sequence[str], length: int
) -> tuple[np.ndarray, np.ndarray]:
  """Tokenizes N texts, cut at and padded to L tokens.

  Args:
    tokenizer_path: a `tokenizer.json`.
    texts: N strings.
    length: L, special tokens included.

  Returns:
    input_ids [N, L] int32 (0 at padding) and attention_mask [N, L] int32 (1 at tokens).

  Raises:
    InputError: `length` has no room for a token between the special ones.
  """
  tokenizer = tokenizers.Tokenizer.from_file(os.fspath(tokenizer_path))
  if length <= tokenizer.num_special_tokens_to_add(is_pair=False):
    raise InputError(f'text_length is {length}; set --config.data.text_length to 3 or more')
  # The file carries padding to and truncation at another length.
  tokenizer.no_padding()
  tokenizer.enable_truncation(length)
  input_ids = np.zeros((len(texts), length), np.int32)
  attention_mask = np.zeros((len(texts), length), np.int32)
  for row, encoding in enumerate(tokenizer.encode_batch(list(texts))):
    input_ids[row, : len(encoding.ids)] = encoding.ids
    attention_mask[row, : len(encoding.ids)] = 1
  return input_ids, attention_mask
