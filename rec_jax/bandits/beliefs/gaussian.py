"""Independent arms with real rewards of known noise: normal posteriors."""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.forgetting import decays
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class GaussianState:
  """Evidence, apart from the prior so that forgetting returns to it.

  Attributes:
    weight: [N] weighted number of rewards.
    total: [N] weighted sum of rewards.
  """

  weight: jax.Array
  total: jax.Array


def gaussian(
  prior_mean: ArrayLike = 0.0,
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
) -> Belief:
  """The expected reward of arm n is N(prior_mean, 1 / lambda_) before, normal after.

  Args:
    prior_mean: a number or [N].
    lambda_: prior precision, a number or [N].
    noise_variance: of one reward around its expectation.
    gamma: forgetting: each row of non-zero weight multiplies the evidence of every arm by it.

  Returns:
    A belief that reads `arm_ids` only.

  Raises:
    InputError: lambda_ or noise_variance is not positive, or gamma is outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('noise_variance', noise_variance, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)

  def init(key: jax.Array, spec: ArmSpec) -> GaussianState:
    del key
    zeros = jnp.zeros(spec.num_arms, jnp.float32)
    return GaussianState(weight=zeros, total=zeros)

  def predict(state: GaussianState, context: Context) -> tuple[jax.Array, jax.Array]:
    variance = 1 / (lambda_ + state.weight / noise_variance)
    mean = variance * (lambda_ * prior_mean + state.total / noise_variance)
    return mean[context.arm_ids], variance[context.arm_ids]

  def sample(key: jax.Array, state: GaussianState, context: Context, num_samples: int) -> jax.Array:
    mean, variance = predict(state, context)
    return mean + jnp.sqrt(variance) * jax.random.normal(key, (num_samples, len(mean)))

  def update(key: jax.Array, state: GaussianState, feedback: Feedback) -> GaussianState:
    del key
    total, rows = decays(gamma, feedback.weight)
    weight = rows * feedback.weight
    arm = jnp.where(feedback.weight == 0, len(state.weight), feedback.arm_id)
    return GaussianState(
      weight=(state.weight * total).at[arm].add(weight, mode='drop'),
      total=(state.total * total).at[arm].add(weight * feedback.reward, mode='drop'),
    )

  def reset_arms(state: GaussianState, ids: jax.Array, features: jax.Array) -> GaussianState:
    del features
    return GaussianState(weight=state.weight.at[ids].set(0), total=state.total.at[ids].set(0))

  return Belief(init, predict, sample, update, reset_arms=reset_arms, is_normal=True)
