"""Telling what belongs together from the rest of a batch."""

import jax
import jax.numpy as jnp


def info_nce(
  vectors: jax.Array, others: jax.Array, temperature: float, is_same: jax.Array
) -> jax.Array:
  """-log of the share of what belongs to a vector among all of a batch (Oord et al. 2018, eq. 4).

  Args:
    vectors: [B, D] of unit length.
    others: [B, D], row b belongs to row b of `vectors`.
    temperature: by which cosines are divided (Gao et al. 2021, eq. 1).
    is_same: [B, B] bool, rows of `others` that are the same thing: no negatives of each other.

  Returns:
    [B] float32.
  """
  logits = vectors @ others.T / temperature
  own = jnp.eye(len(logits), dtype=jnp.bool_)
  negatives = jnp.where(is_same & ~own, -jnp.inf, logits)
  return jax.nn.logsumexp(negatives, axis=1) - jnp.diagonal(logits)
