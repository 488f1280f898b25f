"""Clusters of queries, each with a policy of its own that reads no features."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.partitioned import Partition, partitioned
from rec_jax.bandits.beliefs.recent import Recent
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec

_NUM_STEPS = 20
_TINY = 1e-30
# Of finite logarithm, so that the first seed is drawn evenly.
_FAR = 1e30


def clusters(
  a0: ArrayLike = 1.0, b0: ArrayLike = 1.0, num_clusters: int = 8, capacity: int = 4096
) -> Belief:
  """Beta posteriors in each cluster of queries (MABWiser's `Clusters`; Strong et al. 2019).

  `refresh` runs k-means over the last C queries: seeds by k-means++ (Arthur & Vassilvitskii 2007),
  then 20 steps of Lloyd. Before the first one all queries are one cluster.

  Args:
    a0: prior successes, a number.
    b0: prior failures, a number.
    num_clusters: G.
    capacity: C, see `partitioned`.

  Returns:
    A belief that reads `query` and `arm_ids`, for rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """
  check_range('num_clusters', num_clusters, 1)

  def init(spec: ArmSpec) -> jax.Array:
    return jnp.zeros((num_clusters, spec.query_dim), jnp.float32)

  def cell(centres: jax.Array, query: jax.Array, arm_ids: jax.Array) -> jax.Array:
    own = jnp.argmin(_squares(centres, query)).astype(jnp.int32)
    return jnp.broadcast_to(own, arm_ids.shape)

  def fit(key: jax.Array, centres: jax.Array, recent: Recent, num_arms: int) -> jax.Array:
    del num_arms
    present = recent.weight > 0
    fitted = k_means(key, recent.query, present, num_clusters)
    return jnp.where(jnp.any(present), fitted, centres)

  return partitioned(
    Partition(num_clusters, init, cell, fit, lambda centres, ids: centres), a0, b0, capacity
  )


def k_means(key: jax.Array, points: jax.Array, present: jax.Array, num_clusters: int) -> jax.Array:
  """[G, D] centres of the rows of `points` [C, D] that are `present` [C]."""

  def seed(nearest: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    # In proportion to the squared distance from the seeds so far, which are at distance 0.
    chosen = points[jax.random.categorical(key, jnp.log(jnp.maximum(nearest, _TINY)))]
    closer = jnp.minimum(nearest, jnp.where(present, _squares(points, chosen), 0))
    return closer, chosen

  keys = jax.random.split(key, num_clusters)
  centres = jax.lax.scan(seed, jnp.where(present, _FAR, 0), keys)[1]

  def step(centres: jax.Array, _: None) -> tuple[jax.Array, None]:
    squares = jax.vmap(_squares, (None, 0), 1)(points, centres)
    own = jax.nn.one_hot(jnp.argmin(squares, axis=1), num_clusters) * present[:, None]
    size = jnp.sum(own, axis=0)[:, None]
    # One that lost all its points stays where it is.
    return jnp.where(size > 0, own.T @ points / jnp.maximum(size, 1), centres), None

  return jax.lax.scan(step, centres, length=_NUM_STEPS)[0]


def _squares(points: jax.Array, point: jax.Array) -> jax.Array:
  """[C] squared distances."""
  return jnp.sum((points - point) ** 2, axis=-1)
