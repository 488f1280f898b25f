"""State of the explorers that only count feedback, which is what a schedule reads."""

import jax
import jax.numpy as jnp

from rec_jax.types import ArmSpec, Feedback


def init_count(key: jax.Array, spec: ArmSpec) -> jax.Array:
  """[] int32, zero rows of feedback so far."""
  del key, spec
  return jnp.zeros((), jnp.int32)


def count_rows(count: jax.Array, feedback: Feedback) -> jax.Array:
  """Adds the rows of non-zero weight."""
  return count + jnp.sum(feedback.weight != 0, dtype=jnp.int32)
