"""A decision tree an arm, with counts in its leaves."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.partitioned import Partition, partitioned
from rec_jax.bandits.beliefs.recent import Recent
from rec_jax.bandits.chunks import check_fits
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec

_LEAST_GAIN = 1e-5
# No finite query is above it.
_NO_SPLIT = np.finfo(np.float32).max


@struct.dataclass
class TreesState:
  """Complete binary trees, nodes in the order of levels.

  Attributes:
    feature: [N, G - 1] int32, which entry of the query a node looks at.
    threshold: [N, G - 1], above which a query goes right; the largest number where nothing is.
  """

  feature: jax.Array
  threshold: jax.Array


def tree(
  a0: ArrayLike = 1.0,
  b0: ArrayLike = 1.0,
  depth: int = 4,
  num_bins: int = 16,
  capacity: int = 4096,
) -> Belief:
  """Beta posteriors in the leaves of a tree an arm (TreeHeuristic: Elmachtoub et al. 2017).

  MABWiser's `TreeBandit`. `refresh` grows each arm's tree on its own outcomes among the last C:
  from the root, each node takes the split that lowers the squared error of rewards most (Breiman
  et al. 1984), of thresholds at quantiles of the queries, which makes a level one histogram. Trees
  have 2^depth leaves at most, where MABWiser's grow until leaves are pure. Before the first
  refresh a tree is its root.

  Args:
    a0: prior successes, a number.
    b0: prior failures, a number.
    depth: splits from the root to a leaf, at most 20.
    num_bins: Q, thresholds of a feature are its Q - 1 inner quantiles.
    capacity: C, see `partitioned`.

  Returns:
    A belief that reads `query` and `arm_ids`, for rewards in [0, 1]. A refresh takes memory for
    5 N 2^(depth - 1) D Q numbers.

  Raises:
    InputError: a value is out of range; at a refresh, the device has no room for that.
  """
  check_range('depth', depth, 1, 20)
  check_range('num_bins', num_bins, 2)
  num_nodes = 2**depth - 1

  def init(spec: ArmSpec) -> TreesState:
    shape = (spec.num_arms, num_nodes)
    return TreesState(jnp.zeros(shape, jnp.int32), jnp.full(shape, _NO_SPLIT, jnp.float32))

  def cell(state: TreesState, query: jax.Array, arm_ids: jax.Array) -> jax.Array:
    node = jnp.zeros_like(arm_ids)
    for _ in range(depth):
      right = query[state.feature[arm_ids, node]] > state.threshold[arm_ids, node]
      node = 2 * node + 1 + right
    return node - num_nodes

  def fit(key: jax.Array, state: TreesState, recent: Recent, num_arms: int) -> TreesState:
    del key, state
    return grow(recent, num_arms, depth, num_bins)

  def reset(state: TreesState, ids: jax.Array) -> TreesState:
    return TreesState(
      feature=state.feature.at[ids].set(0), threshold=state.threshold.at[ids].set(_NO_SPLIT)
    )

  return partitioned(Partition(num_nodes + 1, init, cell, fit, reset), a0, b0, capacity)


def grow(recent: Recent, num_arms: int, depth: int, num_bins: int) -> TreesState:
  """The trees of all arms at once, level by level."""
  # Of each node of the last level, five numbers a threshold at once.
  check_fits(
    f'to grow the trees of {num_arms:,} arms on {recent.query.shape[1]} features of the query',
    4 * 5 * num_arms * 2 ** (depth - 1) * recent.query.shape[1] * num_bins,
  )
  # The weight of a row of no arm is 0, so that it may stand in the histogram of any.
  weight = jnp.where(recent.arm_id < 0, 0, recent.weight)
  recent = dataclasses.replace(recent, arm_id=jnp.maximum(recent.arm_id, 0), weight=weight)
  known = jnp.where(weight[:, None] > 0, recent.query, jnp.nan)
  inner = jnp.arange(1, num_bins) / num_bins
  # The value of a row and not between two, so that few distinct values are split as they are.
  thresholds = jnp.nanquantile(known, inner, axis=0, method='lower').T
  bins = jnp.sum(recent.query[:, :, None] > thresholds, axis=2)
  node = jnp.zeros_like(recent.arm_id)
  features, cuts = [], []
  for level in range(depth):
    place = recent.arm_id * 2**level + node
    feature, cut = _best_splits(recent, place, bins, num_arms * 2**level, num_bins)
    chosen = jnp.take_along_axis(bins, feature[place][:, None], axis=1)[:, 0]
    node = 2 * node + (chosen > cut[place])
    split = cut < num_bins - 1
    threshold = jnp.where(split, thresholds[feature, jnp.minimum(cut, num_bins - 2)], _NO_SPLIT)
    features.append(feature.reshape(num_arms, -1))
    cuts.append(threshold.reshape(num_arms, -1))
  return TreesState(jnp.concatenate(features, axis=1), jnp.concatenate(cuts, axis=1))


def _best_splits(
  recent: Recent, place: jax.Array, bins: jax.Array, num_places: int, num_bins: int
) -> tuple[jax.Array, jax.Array]:
  """([P] feature, [P] last bin that goes left) of each of P nodes; Q - 1 where none gains."""
  dim = bins.shape[1]
  at = place[:, None], jnp.arange(dim), bins

  def left(values: jax.Array) -> jax.Array:
    """[P, D, Q] sums over the rows of a node up to each bin."""
    empty = jnp.zeros((num_places, dim, num_bins), jnp.float32)
    return jnp.cumsum(empty.at[at].add(values[:, None]), axis=2)

  number, total = left(recent.weight), left(recent.weight * recent.reward)

  def explained(total: jax.Array, number: jax.Array) -> jax.Array:
    return total**2 / jnp.maximum(number, _LEAST_GAIN)

  whole_number, whole_total = number[:, :, -1:], total[:, :, -1:]
  gain = explained(total, number) + explained(whole_total - total, whole_number - number)
  gain = (gain - explained(whole_total, whole_number)).reshape(num_places, -1)
  best = jnp.argmax(gain, axis=1).astype(jnp.int32)
  gains = jnp.max(gain, axis=1) > _LEAST_GAIN * jnp.maximum(whole_number[:, 0, 0], 1)
  return jnp.where(gains, best // num_bins, 0), jnp.where(gains, best % num_bins, num_bins - 1)
