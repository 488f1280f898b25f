"""EASE: a linear item-to-item model in closed form (Steck 2019, arXiv:1905.03375)."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse
from jax.typing import ArrayLike

# Of a triangle that are mirrored at once.
_COLUMNS = 256


def fit(user: np.ndarray, item: np.ndarray, num_items: int, *, lambda_: float) -> jax.Array:
  """Item-to-item weights B = I - P diag(1 / diag P) with P = (X'X + lambda I)^-1 (equation 8).

  Solved on the host in float64 by Cholesky, because X'X of popular items is ill-conditioned; one
  matrix is worked on in place, and with X'X as a sparse one beside it that takes 24 N^2 bytes at
  most, 400 MB for 4,000 items.

  Args:
    user: [E] int user indices.
    item: [E] int item indices in [0, N); a pair of several events counts once.
    num_items: N.
    lambda_: L2 regularisation, positive; 100 to 1,000 is usual.

  Returns:
    [N, N] float32, zero on the diagonal; column j predicts item j.

  Raises:
    ValueError: if `lambda_` is not positive.
  """
  if not lambda_ > 0:
    raise ValueError(f'lambda_={lambda_} is not positive')
  shape = (int(np.max(user, initial=-1)) + 1, num_items)
  seen = scipy.sparse.csr_array((np.ones(len(item)), (user, item)), shape=shape)
  seen.data[:] = 1
  gram = (seen.T @ seen).toarray()
  gram[np.diag_indices(num_items)] += lambda_
  # The transpose, which is the same, lies as LAPACK wants it.
  factor, _ = scipy.linalg.cho_factor(gram.T, lower=True, overwrite_a=True)
  # The inverse from the factor: half of the work of solving for the columns of the identity.
  weights, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
  _mirror(weights)
  np.divide(weights, -np.diag(weights), out=weights)
  np.fill_diagonal(weights, 0)
  return jnp.asarray(weights, jnp.float32)


def scores(weights: ArrayLike, histories: ArrayLike, *, decay: ArrayLike = 1.0) -> jax.Array:
  """Scores of all items, from a history whose older events may count for less.

  Args:
    weights: [N, N] from `fit`.
    histories: [B, L] int, oldest first, item indices shifted by 1; 0 is padding, on either side.
    decay: [] in (0, 1], an event counts decay^age with age 0 for the latest; 1 is plain EASE.

  Returns:
    [B, N] float32.
  """
  weights, histories = jnp.asarray(weights), jnp.asarray(histories)
  return recency_weights(histories, decay, weights.shape[0]) @ weights


def recency_weights(histories: jax.Array, decay: ArrayLike, num_items: int) -> jax.Array:
  """[B, N] what each item of histories [B, L] counts; see `scores`."""
  # Row 0 collects the padding.
  empty = jnp.zeros(num_items + 1)
  add = jax.vmap(lambda history, value: empty.at[history].add(value)[1:])
  return add(histories, recency(histories, decay))


def recency(histories: jax.Array, decay: ArrayLike) -> jax.Array:
  """[B, L] what each event of histories [B, L] counts, 0 at padding; see `scores`."""
  valid = histories > 0
  age = jnp.cumsum(valid[:, ::-1], axis=1)[:, ::-1] - 1
  return jnp.where(valid, jnp.asarray(decay, jnp.float32) ** age, 0)


def _mirror(matrix: np.ndarray) -> None:
  """Writes the lower triangle of a matrix [N, N] over the upper one, some columns at a time."""
  for start in range(0, len(matrix), _COLUMNS):
    stop = start + _COLUMNS
    block = matrix[start:stop, start:stop]
    block[:] = np.tril(block) + np.tril(block, -1).T
    matrix[start:stop, stop:] = matrix[stop:, start:stop].T
