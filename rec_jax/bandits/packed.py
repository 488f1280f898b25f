"""Symmetric matrices at half their size: the diagonals, wrapped around.

Entry (k, i) of [D // 2 + 1, D] is that of the matrix at (i, i + k mod D). Of two diagonals that are
each other's transpose one is enough, so k stops at D / 2. Unlike a triangle row after row, it is
made and read without gathers, which on vectors of some dozen numbers cost more than arithmetic.
"""

import jax
import jax.numpy as jnp
import numpy as np


def pack(matrix: jax.Array) -> jax.Array:
  """[(D // 2 + 1) D] of a symmetric [D, D]."""
  return matrix[np.arange(len(matrix)), _columns(len(matrix))].ravel()


def square(x: jax.Array) -> jax.Array:
  """The packed x x^T of a vector [D]."""
  dim = len(x)
  # Rows one longer than x start one later each, so row k is x turned by k.
  turns = dim // 2 + 1
  turned = jnp.tile(x, turns + 2)[: turns * (dim + 1)].reshape(turns, dim + 1)[:, :dim]
  return (x * turned).ravel()


def quadratic_forms(packed: jax.Array, x: jax.Array) -> jax.Array:
  """[N] x^T M x of a vector [D] and N packed matrices M."""
  dim = len(x)
  twice = np.full(dim // 2 + 1, 2, np.float32)
  twice[0] = 1
  if dim % 2 == 0:
    # Diagonal D / 2 is its own transpose, so it holds each entry twice already.
    twice[-1] = 1
  return packed @ (square(x) * np.repeat(twice, dim))


def with_row(packed: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
  """The packed matrix with row and column `index` [] replaced by `row` [D]."""
  column = _columns(len(row))
  turned = jax.lax.dynamic_slice(jnp.concatenate([row, row]), (index,), (len(column),))
  matrix = jnp.where(np.arange(len(row)) == index, turned[:, None], packed.reshape(column.shape))
  return jnp.where(column == index, row, matrix).ravel()


def _columns(dim: int) -> np.ndarray:
  """[D // 2 + 1, D] int, i + k mod D."""
  return (np.arange(dim) + np.arange(dim // 2 + 1)[:, None]) % dim
