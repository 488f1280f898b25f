"""The last outcomes with their queries and arms, in a ring, for beliefs that look at rows again."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.types import ArmSpec, Feedback


@struct.dataclass
class Recent:
  """The last C outcomes.

  Attributes:
    query: [C, D].
    arm_id: [C] int32, of a row whose arm was reset or that was not written yet -1.
    reward: [C].
    weight: [C].
    position: [] int32, where the next row goes.
  """

  query: jax.Array
  arm_id: jax.Array
  reward: jax.Array
  weight: jax.Array
  position: jax.Array


def init_recent(spec: ArmSpec, capacity: int) -> Recent:
  """An empty ring of C = `capacity` rows."""
  return Recent(
    query=jnp.zeros((capacity, spec.query_dim), jnp.float32),
    arm_id=jnp.full(capacity, -1, jnp.int32),
    reward=jnp.zeros(capacity, jnp.float32),
    weight=jnp.zeros(capacity, jnp.float32),
    position=jnp.zeros((), jnp.int32),
  )


def keep(recent: Recent, feedback: Feedback) -> Recent:
  """Writes the rows of non-zero weight, in order; a full ring drops the oldest for each."""
  capacity = len(recent.reward)
  counted = feedback.weight != 0
  number = jnp.cumsum(counted, dtype=jnp.int32)
  # Of more than C rows only the last are kept; dropped rows are sent past the end.
  kept = counted & (number > number[-1] - capacity)
  slot = jnp.where(kept, (recent.position + number - 1) % capacity, capacity)
  return Recent(
    query=recent.query.at[slot].set(feedback.query, mode='drop'),
    arm_id=recent.arm_id.at[slot].set(feedback.arm_id, mode='drop'),
    reward=recent.reward.at[slot].set(feedback.reward, mode='drop'),
    weight=recent.weight.at[slot].set(feedback.weight, mode='drop'),
    position=(recent.position + number[-1]) % capacity,
  )


def disown(recent: Recent, ids: jax.Array) -> Recent:
  """The ring after the arms `ids` [M] were reset: their rows are of no arm."""
  is_reset = jnp.any(recent.arm_id[:, None] == ids, axis=1)
  return dataclasses.replace(recent, arm_id=jnp.where(is_reset, -1, recent.arm_id))
