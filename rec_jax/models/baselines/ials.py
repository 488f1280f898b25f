"""iALS: weighted matrix factorisation of implicit feedback by alternating least squares.

Hu, Koren & Volinsky (2008), Collaborative Filtering for Implicit Feedback Datasets, with the solver
by blocks of coordinates of Rendle et al. (2021), iALS++, arXiv:2110.14044.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import events as layouts
from rec_jax.models.baselines.events import Bucket, Events

# Numbers of a chunk of rows with the vectors of their entries: 1 MB, so that it stays in a cache.
_CHUNK = 2**18
_START = 0.1


@struct.dataclass
class Factors:
  """A factorisation.

  Attributes:
    users: [U, D] float32.
    items: [N, D] float32.
    alpha: [] float32, what an event weighs more than the absence of one.
    regularisation: [] float32.
  """

  users: jax.Array
  items: jax.Array
  alpha: jax.Array
  regularisation: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  alpha: float,
  regularisation: float,
  num_iterations: int = 16,
  block: int = 16,
) -> Factors:
  """Minimises equation 3 of Hu et al. by turns over users and items.

  sum_ui c_ui (p_ui - x_u y_i)^2 + regularisation (|X|^2 + |Y|^2), c = 1 + alpha and p = 1 at an
  event, c = 1 and p = 0 elsewhere. Takes 4 (U + N) D bytes and twice the events.

  Args:
    key: typed key, of the item factors at the start.
    events: E events.
    dim: D.
    alpha: positive.
    regularisation: positive.
    num_iterations: turns over users and then items.
    block: coordinates that are solved at once; of one that does not divide `dim` the largest
      common divisor. `dim` itself is plain ALS.

  Raises:
    ValueError: if a setting is out of range.
  """
  start = jax.random.normal(key, (events.num_items, dim)) * (_START / dim**0.5)
  block = math.gcd(block, dim)
  return alternate(start, events, alpha, regularisation, num_iterations, block)


def alternate(
  items: jax.Array,
  events: Events,
  alpha: float,
  regularisation: float,
  num_iterations: int,
  block: int,
) -> Factors:
  """As `fit`, from given item factors [N, D]."""
  dim = items.shape[1]
  if not (alpha > 0 and regularisation > 0 and 0 < block <= dim and dim % block == 0):
    raise ValueError(
      f'alpha={alpha} and regularisation={regularisation} must be positive and block={block} must '
      f'divide dim={dim}'
    )
  sides = [_chunks(matrix, dim) for matrix in (events.matrix, events.matrix.T.tocsr())]
  users = jnp.zeros((events.num_users, dim))
  users, items = _alternate(users, items, *sides, alpha, regularisation, num_iterations, block)
  return Factors(users, items, jnp.float32(alpha), jnp.float32(regularisation))


def scores(params: Factors, histories: ArrayLike) -> jax.Array:
  """Scores of users whose factors are solved from their histories, equation 4 of Hu et al.

  Args:
    params: from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  num_items, dim = params.items.shape
  histories = jnp.asarray(histories)
  columns = jnp.where(histories > 0, histories - 1, num_items)
  start = jnp.zeros((len(histories), dim))
  gram, padded = params.items.T @ params.items, _with_padding(params.items)
  users = _solved(start, padded, columns, gram, params.alpha, params.regularisation, dim)
  return users @ params.items.T


def user_scores(params: Factors, users: ArrayLike) -> jax.Array:
  """Scores [B, N] of users [B] who were fitted, by their index."""
  return params.users[jnp.asarray(users)] @ params.items.T


def _chunks(matrix: scipy.sparse.csr_array, dim: int) -> list[Bucket]:
  """The buckets of a matrix, each cut into chunks [C, R] and [C, R, L] of one size."""
  found = []
  for row, columns in layouts.buckets(matrix):
    size = max(1, min(len(row), _CHUNK // (columns.shape[1] * dim)))
    # Rows that are padded are dropped when they are written.
    padding = ((0, -len(row) % size), (0, 0))
    row = np.pad(row, padding[0], constant_values=matrix.shape[0])
    columns = np.pad(columns, padding, constant_values=matrix.shape[1])
    found.append(Bucket(row.reshape(-1, size), columns.reshape(-1, size, columns.shape[1])))
  return found


@functools.partial(jax.jit, static_argnames='block')
def _alternate(
  users: jax.Array,
  items: jax.Array,
  of_users: list[Bucket],
  of_items: list[Bucket],
  alpha: float,
  regularisation: float,
  num_iterations: int,
  block: int,
) -> tuple[jax.Array, jax.Array]:
  def solve(side: jax.Array, fixed: jax.Array, chunks: list[Bucket]) -> jax.Array:
    gram, padded = fixed.T @ fixed, _with_padding(fixed)

    def of_chunk(chunk: Bucket) -> jax.Array:
      start = side.at[chunk.row].get(mode='clip')
      columns = jnp.asarray(chunk.columns)
      return _solved(start, padded, columns, gram, alpha, regularisation, block)

    # Rows without an entry are 0 at the optimum.
    found = jnp.zeros_like(side)
    for bucket in chunks:
      solved = jax.lax.map(of_chunk, bucket)
      flat = solved.reshape(-1, solved.shape[-1])
      found = found.at[bucket.row.reshape(-1)].set(flat, mode='drop', unique_indices=True)
    return found

  def turn(_: jax.Array, factors: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    users, items = factors
    users = solve(users, items, of_users)
    return users, solve(items, users, of_items)

  return jax.lax.fori_loop(0, num_iterations, turn, (users, items))


def _with_padding(factors: jax.Array) -> jax.Array:
  """[N + 1, D]: entries that are padded have a vector of 0, and so no part in any sum."""
  return jnp.concatenate([factors, jnp.zeros((1, factors.shape[1]))])


def _solved(
  start: jax.Array,
  padded: jax.Array,
  columns: jax.Array,
  gram: jax.Array,
  alpha: ArrayLike,
  regularisation: ArrayLike,
  block: int,
) -> jax.Array:
  """One Newton step for each block of coordinates, in turn: [R, D] from start [R, D].

  Args:
    start: factors of R rows.
    padded: [N + 1, D] fixed factors.
    columns: [R, L] entries of the rows.
    gram: [D, D] of the fixed factors.
    alpha: as in `fit`.
    regularisation: as in `fit`.
    block: coordinates solved at once.
  """
  vectors = padded[columns]
  ridge = regularisation * jnp.eye(block)

  def of_block(
    number: jax.Array, carry: tuple[jax.Array, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    rows, predicted = carry
    own = jax.lax.dynamic_slice_in_dim(vectors, number * block, block, axis=2)
    gram_rows = jax.lax.dynamic_slice_in_dim(gram, number * block, block)
    inner = jax.lax.dynamic_slice_in_dim(gram_rows, number * block, block, axis=1)
    factors = jax.lax.dynamic_slice_in_dim(rows, number * block, block, axis=1)
    # An event: alpha more weight on the square, and a target of 1 at a weight of 1 + alpha.
    residual = alpha * predicted - (1 + alpha)
    gradient = rows @ gram_rows.T + regularisation * factors
    gradient += jnp.einsum('rlb,rl->rb', own, residual)
    hessian = inner + ridge + alpha * jnp.einsum('rlb,rlc->rbc', own, own)
    # Positive definite by the ridge.
    step = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(hessian), True), gradient[..., None])
    step = step[..., 0]
    rows = jax.lax.dynamic_update_slice_in_dim(rows, factors - step, number * block, axis=1)
    return rows, predicted - jnp.einsum('rlb,rb->rl', own, step)

  predicted = jnp.einsum('rlb,rb->rl', vectors, start)
  return jax.lax.fori_loop(0, start.shape[1] // block, of_block, (start, predicted))[0]
