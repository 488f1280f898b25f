"""Texts that stand one after another in a row, and know nothing of each other."""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.text_encoder import TextEncoder


def token_vectors(
  encoder: TextEncoder,
  input_ids: jax.Array,
  mask: jax.Array,
  packed: jax.Array | None,
  rngs: nnx.Rngs | None = None,
) -> jax.Array:
  """[B, L, H], the vectors of the tokens of texts [B, L], computed in packed rows if there are."""
  if packed is None:
    return encoder(input_ids, mask, rngs)
  return _unpack(encode(encoder, input_ids, packed, rngs), packed, *input_ids.shape)


def encode(
  encoder: TextEncoder, input_ids: jax.Array, packed: jax.Array, rngs: nnx.Rngs | None = None
) -> jax.Array:
  """[R, W, H], the vectors of packed tokens, each as if its text stood alone.

  Positions begin anew with each text. Rotary and ALiBi attention goes by distances alone, which are
  the same within a text wherever it stands.

  Args:
    encoder: whose attention is masked to one text.
    input_ids: [B, L] int32.
    packed: [R, W] int32, number b * L + t of the token at each place, -1 for none.
    rngs: stream `dropout`, needed only in training.
  """
  length = input_ids.shape[1]
  is_token = packed >= 0
  text = jnp.where(is_token, packed // length, -1)
  mask = (text[:, :, None] == text[:, None, :]) & is_token[:, None, :]
  positions = jnp.where(is_token, packed % length, 0)
  return encoder(take(input_ids, packed), mask, rngs, positions)


def take(values: jax.Array, packed: jax.Array) -> jax.Array:
  """[R, W], the values [B, L] of packed tokens; 0 where there is none."""
  return jnp.where(packed >= 0, values.reshape(-1)[packed], 0)


def _unpack(hidden: jax.Array, packed: jax.Array, num_texts: int, length: int) -> jax.Array:
  """[B, L, H], packed vectors [R, W, H] where they stand in their texts; zeros at padding."""
  size = num_texts * length
  # Numbers below 0 would count from the end.
  place = jnp.where(packed >= 0, packed, size).reshape(-1)
  width = hidden.shape[-1]
  rows = jnp.zeros((size, width), hidden.dtype)
  rows = rows.at[place].set(hidden.reshape(-1, width), mode='drop')
  return rows.reshape(num_texts, length, width)
