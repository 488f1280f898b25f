"""One regression an arm on the query: rows of state read and written by arm id."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import Belief
from rec_jax.bandits.chunks import by_rows
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback

_MOST_NODES = 128


@struct.dataclass
class PerArmState:
  """A regression an arm.

  Attributes:
    rows: leading [N].
    fresh: one row before any outcome, which a reset arm goes back to.
  """

  rows: Any
  fresh: Any


def per_arm(belief: Belief) -> Belief:
  """Gives every arm a row of `belief`'s state, with a leading [N], and the query as its features.

  Args:
    belief: reads `features` only and wants nothing back with the outcome; its prior has no chance.

  Returns:
    A belief that reads `query` and `arm_ids`, in which arms are independent and learn nothing from
    each other.
  """

  def init(key: jax.Array, spec: ArmSpec) -> PerArmState:
    own = spec._replace(num_arms=1, num_candidates=1, arm_dim=spec.query_dim)
    fresh = belief.init(key, own)
    rows = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (spec.num_arms, *leaf.shape)), fresh)
    return PerArmState(rows, fresh)

  def alone(context: Context) -> Context:
    """The context of one arm that is the only candidate."""
    return dataclasses.replace(
      context,
      features=context.query[None],
      arm_ids=jnp.zeros(1, jnp.int32),
      mask=jnp.ones(1, bool),
    )

  def predict(state: PerArmState, context: Context) -> tuple[jax.Array, jax.Array]:
    def some(arm_ids: jax.Array) -> tuple[jax.Array, jax.Array]:
      own = jax.tree.map(lambda leaf: leaf[arm_ids], state.rows)
      mean, variance = jax.vmap(belief.predict, (0, None))(own, alone(context))
      return mean[:, 0], variance[:, 0]

    # A row is copied, and what is expected of it integrated in no more than so many numbers.
    numbers_a_row = sum(leaf.size for leaf in jax.tree.leaves(state.fresh)) + _MOST_NODES
    return by_rows(some, context.arm_ids, numbers_a_row)

  def sample(key: jax.Array, state: PerArmState, context: Context, num_samples: int) -> jax.Array:
    own = jax.tree.map(lambda leaf: leaf[context.arm_ids], state.rows)
    keys = jax.random.split(key, len(context.arm_ids))
    draw = jax.vmap(lambda key, row: belief.sample(key, row, alone(context), num_samples))
    return draw(keys, own)[:, :, 0].T

  def update(key: jax.Array, state: PerArmState, feedback: Feedback) -> PerArmState:
    def step(rows: Any, step: tuple[jax.Array, Feedback]) -> tuple[Any, None]:
      key, row = step
      # A padded row may name any arm, or none by -1, which must not wrap around.
      arm = jnp.maximum(row.arm_id, 0)
      row = dataclasses.replace(row, features=row.query)
      one = jax.tree.map(lambda x: x[None], row)
      return put_row(rows, arm, belief.update(key, take_row(rows, arm), one)), None

    keys = jax.random.split(key, len(feedback.arm_id))
    rows = jax.lax.scan(step, state.rows, (keys, feedback))[0]
    return dataclasses.replace(state, rows=rows)

  def reset_arms(state: PerArmState, ids: jax.Array, features: jax.Array) -> PerArmState:
    del features
    rows = jax.tree.map(lambda leaf, fresh: leaf.at[ids].set(fresh), state.rows, state.fresh)
    return dataclasses.replace(state, rows=rows)

  return Belief(
    init, predict, sample, update, reset_arms=reset_arms, reward_range=belief.reward_range
  )
