"""The expected reward of an arm, from its outcomes under queries near to this one."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import UNIT_REWARD, Belief
from rec_jax.bandits.beliefs.beta_bernoulli import by_counts
from rec_jax.bandits.beliefs.recent import Recent, disown, init_recent, keep
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

# (squared distances [C], infinite where there is no row) -> [C] bool, who is a neighbour.
Near = Callable[[jax.Array], jax.Array]


@struct.dataclass
class NeighboursState:
  """What is remembered.

  Attributes:
    recent: [C] outcomes.
    num_arms: N, static.
  """

  recent: Recent
  num_arms: int = struct.field(pytree_node=False)


def nearest(
  a0: ArrayLike = 1.0, b0: ArrayLike = 1.0, num_neighbours: int = 5, capacity: int = 4096
) -> Belief:
  """Beta posteriors of the rewards among the k outcomes nearest to the query, of whatever arm.

  MABWiser's `KNearest` (Strong et al. 2019); with `thompson` its Thompson sampling within. The
  distance is Euclidean. Of rows equally far the one in the lower slot of the ring is taken.

  Args:
    a0: prior successes, a number or [N].
    b0: prior failures, a number or [N].
    num_neighbours: k; of a ring with fewer rows all are neighbours.
    capacity: C, rows of the ring; when it is full the oldest is forgotten for each new one.

  Returns:
    A belief that reads `query` and `arm_ids`, for rewards in [0, 1]; a decision takes C D steps.

  Raises:
    InputError: a value is out of range.
  """
  check_range('num_neighbours', num_neighbours, 1)

  def near(squares: jax.Array) -> jax.Array:
    chosen = jax.lax.top_k(-squares, min(num_neighbours, capacity))[1]
    return jnp.zeros(len(squares), bool).at[chosen].set(True) & jnp.isfinite(squares)

  return _neighbours(near, a0, b0, capacity)


def within(
  a0: ArrayLike = 1.0, b0: ArrayLike = 1.0, radius: ArrayLike = 1.0, capacity: int = 4096
) -> Belief:
  """The same of all outcomes at most `radius` from the query (MABWiser's `Radius`).

  Where there is none the prior remains, so that `thompson` tries all arms alike.

  Args:
    a0: prior successes, a number or [N].
    b0: prior failures, a number or [N].
    radius: in units of the query, >= 0.
    capacity: C, see `nearest`.

  Returns:
    A belief as of `nearest`.

  Raises:
    InputError: a value is out of range.
  """
  check_range('radius', radius, 0)
  return _neighbours(lambda squares: squares <= jnp.square(radius), a0, b0, capacity)


def _neighbours(near: Near, a0: ArrayLike, b0: ArrayLike, capacity: int) -> Belief:
  check_range('a0', a0, 0, open_low=True)
  check_range('b0', b0, 0, open_low=True)
  check_range('capacity', capacity, 1)

  def init(key: jax.Array, spec: ArmSpec) -> NeighboursState:
    del key
    return NeighboursState(init_recent(spec, capacity), spec.num_arms)

  def counts(state: NeighboursState, context: Context) -> tuple[jax.Array, jax.Array]:
    recent = state.recent
    squares = jnp.sum((recent.query - context.query) ** 2, axis=1)
    is_near = near(jnp.where(recent.arm_id >= 0, squares, jnp.inf))
    arm = jnp.where(is_near, recent.arm_id, state.num_arms)
    none = jnp.zeros(state.num_arms, jnp.float32)
    successes = none.at[arm].add(recent.weight * recent.reward, mode='drop')
    failures = none.at[arm].add(recent.weight * (1 - recent.reward), mode='drop')
    return (a0 + successes)[context.arm_ids], (b0 + failures)[context.arm_ids]

  def update(key: jax.Array, state: NeighboursState, feedback: Feedback) -> NeighboursState:
    del key
    return dataclasses.replace(state, recent=keep(state.recent, feedback))

  def reset_arms(state: NeighboursState, ids: jax.Array, features: jax.Array) -> NeighboursState:
    del features
    return dataclasses.replace(state, recent=disown(state.recent, ids))

  predict, sample, cdf = by_counts(counts)
  return Belief(
    init, predict, sample, update, reset_arms=reset_arms, cdf=cdf, reward_range=UNIT_REWARD
  )
