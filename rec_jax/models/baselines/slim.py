"""SLIM: sparse non-negative item-to-item weights (Ning & Karypis 2011)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events

# Rows of the weights between two products with the whole matrix.
_BLOCK = 32
# Passes done, change of a weight in the last one, weights [N, N].
Carry = tuple[jax.Array, jax.Array, jax.Array]


def fit(
  events: Events, *, l1: float, l2: float, num_sweeps: int = 100, tolerance: float = 1e-4
) -> jax.Array:
  """Weights that minimise |X - X W|^2 / 2 + l2 |W|^2 / 2 + l1 |W|_1, W >= 0 with zero diagonal.

  Equation 4 of the paper. Cyclic coordinate descent (Friedman et al. 2010), the same coordinate of
  all columns at once: what a block of rows changes reaches the others by one matrix product.
  Takes 16 N^2 bytes, 270 MB for 4,000 items.

  Args:
    events: X [U, N] as a sparse matrix.
    l1: penalty of the sum of weights, 0 or more. The `alpha` and `l1_ratio` of scikit-learn's
      ElasticNet, which many implementations take, are l1 = U alpha l1_ratio and
    l2: = U alpha (1 - l1_ratio), positive.
    num_sweeps: at most so many passes over the rows.
    tolerance: change of a weight below which a pass is the last one.

  Returns:
    [N, N] float32; column j predicts item j.

  Raises:
    ValueError: if a penalty is out of range.
  """
  if not (l1 >= 0 and l2 > 0):
    raise ValueError(f'l1={l1} must be 0 or more and l2={l2} positive')
  num_items = events.num_items
  padding = -num_items % min(_BLOCK, num_items)
  # Rows that are padded have no events: their weights stay 0.
  gram = np.zeros((num_items + padding,) * 2, np.float32)
  gram[:num_items, :num_items] = (events.matrix.T @ events.matrix).toarray()
  weights = _descend(gram, l1, l2, num_sweeps, tolerance, min(_BLOCK, num_items))
  return weights[:num_items, :num_items]


def scores(weights: ArrayLike, histories: ArrayLike) -> jax.Array:
  """Histories [B, L], items shifted by 1, 0 being padding, times weights [N, N]: [B, N]."""
  return ease.scores(weights, histories)


@functools.partial(jax.jit, static_argnames='block')
def _descend(
  gram: jax.Array, l1: float, l2: float, num_sweeps: int, tolerance: float, block: int
) -> jax.Array:
  """[N, N] weights; `block` divides N."""
  num_items = len(gram)
  variance = jnp.diag(gram)

  def of_block(number: jax.Array, weights: jax.Array) -> jax.Array:
    start = number * block
    rows = jax.lax.dynamic_slice_in_dim(gram, start, block)
    inner = jax.lax.dynamic_slice_in_dim(rows, start, block, axis=1)
    own = jax.lax.dynamic_slice_in_dim(weights, start, block)

    def of_row(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
      own, gradient = carry
      value = jnp.maximum(gradient[i] + inner[i, i] * own[i] - l1, 0) / (variance[start + i] + l2)
      value = value.at[start + i].set(0)
      gradient = gradient - inner[:, i, None] * (value - own[i])
      return own.at[i].set(value), gradient

    own, _ = jax.lax.fori_loop(0, block, of_row, (own, rows - rows @ weights))
    return jax.lax.dynamic_update_slice_in_dim(weights, own, start, 0)

  def sweep(carry: Carry) -> Carry:
    number, _, weights = carry
    changed = jax.lax.fori_loop(0, num_items // block, of_block, weights)
    return number + 1, jnp.abs(changed - weights).max(), changed

  def is_open(carry: Carry) -> jax.Array:
    return (carry[0] < num_sweeps) & (carry[1] > tolerance)

  start: Carry = (jnp.int32(0), jnp.float32(jnp.inf), jnp.zeros_like(gram))
  return jax.lax.while_loop(is_open, sweep, start)[2]
