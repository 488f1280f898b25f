"""The direct way from the items of a history to the next one: a linear item-to-item model.

EASE (Steck 2019) gives item j, after a history, the sum over its items i of B_ij = -P_ij / P_jj,
with P = (X'X + lambda I)^-1 of the matrix X of users by items. With X'X = V diag(s) V' and no
matter what stands on the diagonal of B, for items of the history are no candidates (where they are,
as among repeats, an item adds B_jj >= 0 to itself, several times what others get),
B_ij = sum_r V_ir f_r V_jr / (lambda P_jj), f_r = s_r / (s_r + lambda): an inner product of two
vectors, as a two-tower model needs it. f falls with s, so the leading directions make most of it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease

# Directions beyond those asked for, and multiplications by X'X (Halko et al. 2011, algorithm 4.4):
# the spectrum of events falls slowly.
_OVERSAMPLING, _POWERS = 32, 4
# Among the penalties that are usual for EASE.
_START_LAMBDA = 400.0
# Elements of a table of vectors: 256 MB.
_LARGEST = 2**26


class Buffer(nnx.Variable):
  """What a model knows without training it: vectors of text, statistics, masks."""


class LinearPath(nnx.Module):
  """Vectors of items as events of a history and as candidates; zeros until they are set.

  Attributes:
    given: [N, R], what an event adds to the user vector.
    sought: [N, R], what its inner product with the user vector adds to the logit of a candidate.
    decay: [] in (0, 1], an event counts decay^age with age 0 for the latest.
  """

  def __init__(self, num_items: int, rank: int):
    self.given = Buffer(jnp.zeros((num_items, rank)))
    self.sought = Buffer(jnp.zeros((num_items, rank)))
    self.decay = Buffer(jnp.float32(1))

  def users(self, history: jax.Array) -> jax.Array:
    """[B, R], user vectors after histories [B, L]: item index + 1, 0 for padding at the end."""
    return jnp.einsum('bl,blr->br', ease.recency(history, self.decay[...]), self._events(history))

  def users_after_prefixes(self, history: jax.Array) -> jax.Array:
    """[B, L + 1, R], user vectors after each prefix of histories [B, L], none first."""
    length = history.shape[1]
    age = jnp.arange(length + 1)[:, None] - 1 - jnp.arange(length)
    weights = jnp.where(age >= 0, self.decay[...] ** jnp.maximum(age, 0), 0.0)
    return weights @ self._events(history)

  def _events(self, history: jax.Array) -> jax.Array:
    return jnp.where(history[..., None] > 0, self.given[...][jnp.maximum(history - 1, 0)], 0.0)


def rank_of(num_items: int, rank: int) -> int:
  """The number of directions: `rank`, or fewer of few items or of so many that memory ends."""
  return min(rank, num_items, _LARGEST // num_items)


class Spectrum(NamedTuple):
  """The leading eigenvectors of X'X.

  Attributes:
    values: [R] float32, s, the largest first, 0 past the rank of X.
    vectors: [N, R] float32, V; zeros for items without an event.
  """

  values: jax.Array
  vectors: jax.Array

  def shares(self, lambda_: ArrayLike) -> jax.Array:
    """[R], f = s / (s + lambda)."""
    return self.values / (self.values + lambda_)

  def start(self, dim: int, seed: int) -> jax.Array:
    """[N, dim], where items of like users lie side by side, at a mean squared norm of 1.

    The leading directions, each by the root of its share, turned at random so that no coordinate is
    ahead of another.
    """
    kept = self.vectors[:, :dim] * jnp.sqrt(self.shares(_START_LAMBDA))[:dim]
    turned = jnp.pad(kept, ((0, 0), (0, dim - kept.shape[1]))) @ _rotation(dim, seed)
    return turned * jax.lax.rsqrt(jnp.maximum(jnp.mean(jnp.sum(turned**2, axis=1)), 1e-12))

  def scales(self, lambda_: ArrayLike) -> jax.Array:
    """[N], 1 / (lambda P_jj), by what these directions say of P_jj."""
    return 1 / (1 - (self.vectors**2) @ self.shares(lambda_))


def _rotation(dim: int, seed: int) -> np.ndarray:
  """[dim, dim], orthogonal."""
  return np.linalg.qr(np.random.default_rng((seed, 6)).normal(size=(dim, dim)))[0]


def spectrum(user: np.ndarray, item: np.ndarray, num_items: int, rank: int, seed: int) -> Spectrum:
  """Of the pairs that events of users [E] and items [E] make, by subspace iteration.

  No matrix of items by items is formed; time is O(E R + (U + N) R^2).

  Args:
    user: [E] int.
    item: [E] int in [0, N).
    num_items: N.
    rank: R.
    seed: of the subspace that the iteration starts from.
  """
  users, user = np.unique(user, return_inverse=True)
  shape = (len(users), num_items)
  seen = scipy.sparse.csr_array((np.ones(len(item)), (user, item)), shape=shape)
  # A pair of several events counts once.
  seen.data[:] = 1
  size = min(rank + _OVERSAMPLING, *shape)
  basis = seen.T @ np.random.default_rng((seed, 5)).normal(size=(len(users), size))
  for _ in range(_POWERS):
    basis = seen.T @ (seen @ np.linalg.qr(basis)[0])
  basis = np.linalg.qr(basis)[0]
  _, singular, right = np.linalg.svd(seen @ basis, full_matrices=False)
  # Rounding leaves items without an event near zero, where a ranking would tell them apart.
  has_event = np.bincount(item, minlength=num_items) > 0
  vectors = np.where(has_event[:, None], basis @ right.T, 0.0)[:, :rank]
  missing = rank - vectors.shape[1]
  return Spectrum(
    jnp.asarray(np.pad(singular[:rank] ** 2, (0, missing)), jnp.float32),
    jnp.asarray(np.pad(vectors, ((0, 0), (0, missing))), jnp.float32),
  )
