"""Masked language modelling (Devlin et al. 2019, section 3.1)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class MaskedTokens(NamedTuple):
  """Texts with some tokens hidden, and what was hidden.

  Attributes:
    token_ids: [B, L] int32, the corrupted texts.
    positions: [B, P] int32, which tokens to predict.
    targets: [B, P] int32, what stood there.
    weights: [B, P] float32, 0 where a text had fewer than P tokens to hide.
  """

  token_ids: jax.Array
  positions: jax.Array
  targets: jax.Array
  weights: jax.Array


def mask_tokens(
  key: jax.Array,
  token_ids: jax.Array,
  maskable: jax.Array,
  *,
  rate: float,
  mask_id: int,
  vocab_size: int,
) -> MaskedTokens:
  """Chooses tokens to predict: 80 % become [MASK], 10 % a random token, 10 % stay.

  Args:
    key: PRNG key.
    token_ids: [B, L] int32.
    maskable: [B, L] bool, False for padding and special tokens.
    rate: share of the maskable tokens to predict; at least one in each text that has any.
    mask_id: id of [MASK].
    vocab_size: V.

  Returns:
    `MaskedTokens` with P = ceil(rate * L), so that shapes do not depend on the draw.
  """
  choose, kind, other = jax.random.split(key, 3)
  length = token_ids.shape[1]
  num_positions = -int(-rate * length // 1)
  order = jnp.where(maskable, jax.random.uniform(choose, token_ids.shape), -1.0)
  _, positions = jax.lax.top_k(order, num_positions)
  wanted = jnp.maximum(1, jnp.round(rate * maskable.sum(1)))
  hidden = (jnp.arange(num_positions) < wanted[:, None]) & (
    jnp.take_along_axis(order, positions, 1) >= 0
  )
  targets = jnp.take_along_axis(token_ids, positions, 1)
  draw = jax.random.uniform(kind, positions.shape)
  random = jax.random.randint(other, positions.shape, 0, vocab_size)
  shown = jnp.where(draw < 0.8, mask_id, jnp.where(draw < 0.9, random, targets))
  shown = jnp.where(hidden, shown, targets)
  rows = jnp.arange(len(token_ids))[:, None]
  corrupted = token_ids.at[rows, positions].set(shown)
  return MaskedTokens(corrupted, positions, targets, hidden.astype(jnp.float32))


def token_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """-log softmax(logits)[target]; logits [..., V], targets [...] int32 -> [...]."""
  chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
  return jax.nn.logsumexp(logits, axis=-1) - chosen
