"""Forgetting: `gamma` to the power of the rows of non-zero weight that came later."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def decays(gamma: ArrayLike, weight: jax.Array) -> tuple[jax.Array, jax.Array]:
  """What a batch applied row by row leaves of earlier evidence and of each of its rows.

  Args:
    gamma: factor a row, in (0, 1].
    weight: [B], 0 is padding.

  Returns:
    [] factor on what was known before the batch, [B] factor on each row.
  """
  counted = weight != 0
  later = jnp.sum(counted) - jnp.cumsum(counted)
  return jnp.power(gamma, jnp.sum(counted)), jnp.power(gamma, later)
