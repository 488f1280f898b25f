"""Text vectors of many texts, in batches that are compiled once."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

from rec_jax.models.text_encoder import TextEncoder

# Texts encoded at once: [64, 32, 1536] activations stay in the processor's cache.
_BATCH = 64


def text_vectors(encoder: TextEncoder, input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """[n, H] unit text vectors of texts [n, L]."""
  return _in_batches(_text_vectors, encoder, input_ids, mask)


def lower_activations(
  encoder: TextEncoder, input_ids: np.ndarray, mask: np.ndarray, depth: int
) -> np.ndarray:
  """[n, L, H], texts [n, L] after the first `depth` blocks."""
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
  function: Callable[..., jax.Array], encoder: TextEncoder, *arrays: np.ndarray
) -> np.ndarray:
  """function(encoder, *rows) over batches of rows, the last one padded by repetition."""
  encoder = nnx.view(encoder, deterministic=True)
  num_rows = len(arrays[0])
  parts = []
  for start in range(0, num_rows, _BATCH):
    rows = np.minimum(np.arange(start, start + _BATCH), num_rows - 1)
    parts.append(np.asarray(function(encoder, *(array[rows] for array in arrays))))
  return np.concatenate(parts)[:num_rows]
