"""Ridge regression of item vectors on text, from sums over items that add up."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Moments(NamedTuple):
  """Sums over items, from which the regression of vectors on texts follows.

  Attributes:
    number: [] items.
    text: [H].
    vectors: [W].
    gram: [H, H], text^T text; the texts are centred over all items, so that little cancels.
    cross: [H, W], text^T vectors.
  """

  number: jax.Array
  text: jax.Array
  vectors: jax.Array
  gram: jax.Array
  cross: jax.Array


def regression(moments: Moments, ridge: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Kernel [H, W] and bias [W] of the ridge regression with an intercept."""
  number = jnp.maximum(moments.number, 1)
  text, vectors = moments.text / number, moments.vectors / number
  gram = moments.gram - number * jnp.outer(text, text)
  penalty = ridge * jnp.trace(gram) / len(gram) + 1e-6
  cross = moments.cross - number * jnp.outer(text, vectors)
  kernel = jnp.linalg.solve(gram + penalty * jnp.eye(len(gram)), cross)
  return kernel, vectors - text @ kernel
