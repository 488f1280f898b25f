"""Losses of the two-tower softmax model over a whole catalogue."""

import jax
import jax.numpy as jnp


def full_softmax(
  user_vectors: jax.Array, item_vectors: jax.Array, target: jax.Array, item_mask: jax.Array
) -> jax.Array:
  """-log P(target | u) with P(i|u) = exp(u·M̂(i)) / Σ_j exp(u·M̂(j)) over the items of the mask.

  Args:
    user_vectors: [B, D].
    item_vectors: [N, D].
    target: [B] int32, each an item of the mask.
    item_mask: [N] bool, the catalogue of the sum.

  Returns:
    [B] float32.
  """
  logits = jnp.where(item_mask, user_vectors @ item_vectors.T, -jnp.inf)
  chosen = jnp.take_along_axis(logits, target[:, None], axis=1)[:, 0]
  return jax.nn.logsumexp(logits, axis=1) - chosen
