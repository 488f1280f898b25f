"""The mean of what each arm has paid, and one over how often: for index rules without a prior."""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.bandits.base import UNIT_REWARD, Belief
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class SampleMeanState:
  """Sums.

  Attributes:
    number: [N] weighted rows of each arm.
    total: [N] weighted sum of rewards.
  """

  number: jax.Array
  total: jax.Array


def sample_mean() -> Belief:
  """Mean total / n and variance 1 / n: that of a mean of n rewards of variance 1.

  For `ucb1`, `kl_ucb` and `moss`. An arm that was never chosen has mean 0 and an infinite variance,
  and draws as if it had been chosen once.

  Returns:
    A belief that reads `arm_ids` only, for rewards in [0, 1].
  """

  def init(key: jax.Array, spec: ArmSpec) -> SampleMeanState:
    del key
    zeros = jnp.zeros(spec.num_arms, jnp.float32)
    return SampleMeanState(zeros, zeros)

  def predict(state: SampleMeanState, context: Context) -> tuple[jax.Array, jax.Array]:
    number, total = state.number[context.arm_ids], state.total[context.arm_ids]
    chosen = number > 0
    safe = jnp.where(chosen, number, 1)
    return total / safe, jnp.where(chosen, 1 / safe, jnp.inf)

  def sample(
    key: jax.Array, state: SampleMeanState, context: Context, num_samples: int
  ) -> jax.Array:
    mean, variance = predict(state, context)
    noise = jax.random.normal(key, (num_samples, len(mean)))
    return mean + jnp.sqrt(jnp.where(jnp.isinf(variance), 1, variance)) * noise

  def update(key: jax.Array, state: SampleMeanState, feedback: Feedback) -> SampleMeanState:
    del key
    arm = jnp.where(feedback.weight == 0, len(state.number), feedback.arm_id)
    return SampleMeanState(
      number=state.number.at[arm].add(feedback.weight, mode='drop'),
      total=state.total.at[arm].add(feedback.weight * feedback.reward, mode='drop'),
    )

  def reset_arms(state: SampleMeanState, ids: jax.Array, features: jax.Array) -> SampleMeanState:
    del features
    return SampleMeanState(state.number.at[ids].set(0), state.total.at[ids].set(0))

  return Belief(init, predict, sample, update, reset_arms=reset_arms, reward_range=UNIT_REWARD)
