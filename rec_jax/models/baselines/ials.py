"""iALS: weighted matrix factorisation of implicit feedback by alternating least squares.

Hu, Koren & Volinsky (2008), Collaborative Filtering for Implicit Feedback Datasets. Rows are solved
by a few steps of conjugate gradients from where they stand (Takács, Pilászy & Tikk 2011), or by
blocks of coordinates (Rendle et al. 2021, iALS++, arXiv:2110.14044).
"""

import functools

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
# Of conjugate gradients, for a row in an iteration: those of the next one go on from there.
_STEPS, _TINY = 3, 1e-30


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
  block: int = 0,
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
    block: coordinates that are solved at once, a divisor of `dim`; `dim` itself is plain ALS. 0
      takes steps of conjugate gradients instead, a fraction of the work on CPUs, where the small
      matrices of blocks cost more than the reading of the vectors.

  Raises:
    ValueError: if a setting is out of range.
  """
  start = jax.random.normal(key, (events.num_items, dim)) * (_START / dim**0.5)
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
  if not (alpha > 0 and regularisation > 0 and (block == 0 or (block > 0 and dim % block == 0))):
    raise ValueError(
      f'alpha={alpha} and regularisation={regularisation} must be positive and block={block} 0 or '
      f'a divisor of dim={dim}'
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
      if not block:
        return _stepped(start, padded, columns, gram, alpha, regularisation)
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


def _stepped(
  start: jax.Array,
  padded: jax.Array,
  columns: jax.Array,
  gram: jax.Array,
  alpha: ArrayLike,
  regularisation: ArrayLike,
) -> jax.Array:
  """Steps of conjugate gradients instead; arguments as in `_solved`."""
  vectors = padded[columns]

  def product(rows: jax.Array, weight: jax.Array) -> jax.Array:
    return rows @ gram + rows * regularisation + jnp.einsum('rld,rl->rd', vectors, weight)

  def of_events(rows: jax.Array) -> jax.Array:
    return jnp.einsum('rld,rd->rl', vectors, rows) * alpha

  def step(_: int, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    rows, residual, direction, square = carry
    image = product(direction, of_events(direction))
    # At the solution all of them are 0.
    length = square / jnp.maximum((direction * image).sum(1, keepdims=True), _TINY)
    residual = residual - length * image
    after = (residual**2).sum(1, keepdims=True)
    turned = residual + after / jnp.maximum(square, _TINY) * direction
    return rows + length * direction, residual, turned, after

  residual = -product(start, of_events(start) - (1 + alpha))
  square = (residual**2).sum(1, keepdims=True)
  begin: tuple[jax.Array, ...] = (start, residual, residual, square)
  return jax.lax.fori_loop(0, _STEPS, step, begin)[0]
