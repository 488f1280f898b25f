"""No belief at all: every candidate is worth the same, for explorers that do not look."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Belief
from rec_jax.types import ArmSpec, Context, Feedback


def constant() -> Belief:
  """Mean and variance zero everywhere, nothing learnt."""

  def init(key: jax.Array, spec: ArmSpec) -> tuple[()]:
    del key, spec
    return ()

  def predict(state: tuple[()], context: Context) -> tuple[jax.Array, jax.Array]:
    del state
    zeros = jnp.zeros(context.mask.shape, jnp.float32)
    return zeros, zeros

  def sample(key: jax.Array, state: tuple[()], context: Context, num_samples: int) -> jax.Array:
    del key, state
    return jnp.zeros((num_samples, *context.mask.shape), jnp.float32)

  def update(key: jax.Array, state: tuple[()], feedback: Feedback) -> tuple[()]:
    del key, feedback
    return state

  return Belief(init=init, predict=predict, sample=sample, update=update)
