"""Symmetric matrices at half their size: the lower triangle, row after row."""

import jax
import jax.numpy as jnp
import numpy as np


def pack(matrix: jax.Array) -> jax.Array:
  """[D (D + 1) / 2] of a symmetric [D, D]."""
  return matrix[np.tril_indices(len(matrix))]


def square(x: jax.Array) -> jax.Array:
  """The packed x x^T of a vector [D]."""
  rows, columns = np.tril_indices(len(x))
  return x[rows] * x[columns]


def quadratic_forms(packed: jax.Array, x: jax.Array) -> jax.Array:
  """[N] x^T M x of a vector [D] and N packed matrices M."""
  return packed @ (multiplicity(len(x)) * square(x))


def multiplicity(dim: int) -> np.ndarray:
  """[D (D + 1) / 2] for how many entries of the matrix each packed one stands."""
  rows, columns = np.tril_indices(dim)
  return np.where(rows == columns, 1, 2).astype(np.float32)


def with_row(packed: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
  """The packed matrix with row and column `index` [] replaced by `row` [D]."""
  rows, columns = np.tril_indices(len(row))
  packed = jnp.where(columns == index, row[rows], packed)
  return jnp.where(rows == index, row[columns], packed)
