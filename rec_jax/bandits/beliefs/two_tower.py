"""The scores of a two-tower model, taken as they are."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Belief
from rec_jax.types import ArmSpec, Context, Feedback


def two_tower() -> Belief:
  """A belief without learning or doubt: the mean is query . features, the variance zero.

  Returns:
    A belief that needs query_dim D == arm_dim F.
  """

  def init(key: jax.Array, spec: ArmSpec) -> tuple[()]:
    del key
    if spec.query_dim != spec.arm_dim:
      raise ValueError(
        f'two_tower scores query . features: query_dim is {spec.query_dim}, '
        f'arm_dim is {spec.arm_dim}; they must be equal'
      )
    return ()

  def predict(state: tuple[()], context: Context) -> tuple[jax.Array, jax.Array]:
    del state
    mean = context.features @ context.query
    return mean, jnp.zeros_like(mean)

  def sample(key: jax.Array, state: tuple[()], context: Context, num_samples: int) -> jax.Array:
    del key
    mean, _ = predict(state, context)
    return jnp.broadcast_to(mean, (num_samples, len(mean)))

  def update(key: jax.Array, state: tuple[()], feedback: Feedback) -> tuple[()]:
    del key, feedback
    return state

  return Belief(init=init, predict=predict, sample=sample, update=update)
