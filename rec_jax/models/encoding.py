"""Text vectors of many texts, in batches that are compiled once for texts of like length."""

import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from flax import nnx

from rec_jax.models.text_encoder import TextEncoder

# Texts encoded at once: [64, 32, 1536] activations stay in the processor's cache.
_BATCH = 64
# Texts are padded to a multiple of `_STEP` tokens. A length that fewer have is not worth a program.
_STEP, _FEWEST = 16, 256


def text_vectors(encoder: TextEncoder, input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """[n, H] unit text vectors of texts [n, L]."""
  return _in_batches(_text_vectors, encoder, input_ids, mask)


def lower_activations(
  encoder: TextEncoder, input_ids: np.ndarray, mask: np.ndarray, depth: int
) -> np.ndarray:
  """[n, L, H], texts [n, L] after the first `depth` blocks; what stands at padding says nothing."""
  return _in_batches(functools.partial(_lower, depth=depth), encoder, input_ids, mask)


def upper_text_vectors(
  encoder: TextEncoder, activations: np.ndarray, mask: np.ndarray, depth: int
) -> np.ndarray:
  """[n, H] unit text vectors from what `lower_activations` returned."""
  return _in_batches(functools.partial(_upper, depth=depth), encoder, activations, mask)


@nnx.jit
def _text_vectors(encoder: TextEncoder, input_ids: jax.Array, mask: jax.Array) -> jax.Array:
  return encoder.pool(encoder(input_ids, mask), mask)


@nnx.jit(static_argnames='depth')
def _lower(encoder: TextEncoder, input_ids: jax.Array, mask: jax.Array, depth: int) -> jax.Array:
  return encoder.lower(input_ids, mask, depth)


@nnx.jit(static_argnames='depth')
def _upper(encoder: TextEncoder, hidden: jax.Array, mask: jax.Array, depth: int) -> jax.Array:
  return encoder.pool(encoder.upper(hidden, mask, depth), mask)


def _in_batches(
  function: Callable[..., jax.Array], encoder: TextEncoder, inputs: np.ndarray, mask: np.ndarray
) -> np.ndarray:
  """function(encoder, inputs, mask) over batches of texts [n, L] of like length."""
  encoder = nnx.view(encoder, deterministic=True)
  found: np.ndarray | None = None
  for rows, width in _buckets(mask):
    for start in range(0, len(rows), _BATCH):
      # The last batch is padded by repetition.
      batch = rows[np.minimum(np.arange(start, start + _BATCH), len(rows) - 1)]
      part = np.asarray(function(encoder, inputs[batch, :width], mask[batch, :width]))
      if found is None:
        shape = mask.shape if part.ndim == 3 else mask.shape[:1]
        found = np.zeros((*shape, part.shape[-1]), part.dtype)
      found[(batch, slice(width)) if part.ndim == 3 else batch] = part
  if found is None:
    raise ValueError('there is no text')
  return found


def _buckets(mask: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
  """Rows of a mask [n, L], and a number of tokens that all of them end within."""
  # Of the last token, whatever is hidden before it.
  ends = mask.shape[1] - np.argmax(mask[:, ::-1] > 0, axis=1)
  left = np.argsort(ends, kind='stable')
  for width in range(_STEP, mask.shape[1], _STEP):
    number = np.searchsorted(ends[left], width, side='right')
    if number >= _FEWEST:
      yield left[:number], width
      left = left[number:]
  if len(left):
    yield left, mask.shape[1]
