"""Independent arms with real rewards whose mean and variance are both unknown.

The conjugate prior: mean_n ~ N(prior_mean, s_n / lambda_), s_n ~ InverseGamma(a0, b0) (Murphy
2007, "Conjugate Bayesian analysis of the Gaussian distribution", section 6; Honda & Takemura 2014
for its Thompson sampling).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.rows import put_row, take_row
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class GaussianUnknownNoiseState:
  """The normal-inverse-gamma posterior of each arm.

  Attributes:
    mean: [N] of the expected reward.
    precision: [N] of it, in units of one reward.
    a: [N] shape of the variance of one reward.
    b: [N] scale of it.
  """

  mean: jax.Array
  precision: jax.Array
  a: jax.Array
  b: jax.Array


def gaussian_unknown_noise(
  prior_mean: ArrayLike = 0.0,
  lambda_: ArrayLike = 1.0,
  a0: ArrayLike = 3.0,
  b0: ArrayLike = 2.0,
  gamma: ArrayLike = 1.0,
) -> Belief:
  """The expected reward of each arm is Student t with 2 a degrees of freedom.

  Args:
    prior_mean: a number or [N].
    lambda_: rewards that the prior mean is worth, a number or [N].
    a0: shape of the variance of one reward, > 1 so that its mean b0 / (a0 - 1) exists.
    b0: scale of it.
    gamma: forgetting: before each row of non-zero weight, what was learnt of its arm counts gamma
      times as much.

  Returns:
    A belief that reads `arm_ids` only.

  Raises:
    InputError: lambda_ or b0 is not positive, a0 not above 1, or gamma outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('a0', a0, 1, open_low=True)
  check_range('b0', b0, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)

  def prior(num_arms: int) -> GaussianUnknownNoiseState:
    return GaussianUnknownNoiseState(
      *(
        jnp.broadcast_to(jnp.asarray(value, jnp.float32), (num_arms,))
        for value in (prior_mean, lambda_, a0, b0)
      )
    )

  def init(key: jax.Array, spec: ArmSpec) -> GaussianUnknownNoiseState:
    del key
    return prior(spec.num_arms)

  def predict(state: GaussianUnknownNoiseState, context: Context) -> tuple[jax.Array, jax.Array]:
    variance = state.b / ((state.a - 1) * state.precision)
    return state.mean[context.arm_ids], variance[context.arm_ids]

  def sample(
    key: jax.Array, state: GaussianUnknownNoiseState, context: Context, num_samples: int
  ) -> jax.Array:
    noise_key, mean_key = jax.random.split(key)
    own = jax.tree.map(lambda x: x[context.arm_ids], state)
    shape = (num_samples, len(own.mean))
    variance = own.b / jax.random.gamma(noise_key, own.a, shape)
    return own.mean + jnp.sqrt(variance / own.precision) * jax.random.normal(mean_key, shape)

  def update(
    key: jax.Array, state: GaussianUnknownNoiseState, feedback: Feedback
  ) -> GaussianUnknownNoiseState:
    del key

    def row(
      state: GaussianUnknownNoiseState, row: tuple[jax.Array, ...]
    ) -> tuple[GaussianUnknownNoiseState, None]:
      arm, reward, weight = row
      # A padded row may name any arm, or none by -1, which must not wrap around.
      arm = jnp.maximum(arm, 0)
      old = take_row(state, arm)
      start = take_row(prior(len(state.mean)), arm)
      new = _learn(_forget(old, start, gamma), reward, weight)
      new = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), new, old)
      return put_row(state, arm, new), None

    rows = (feedback.arm_id, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  def reset_arms(
    state: GaussianUnknownNoiseState, ids: jax.Array, features: jax.Array
  ) -> GaussianUnknownNoiseState:
    del features
    start = prior(len(state.mean))
    return jax.tree.map(lambda now, start: now.at[ids].set(start[ids]), state, start)

  return Belief(init, predict, sample, update, reset_arms=reset_arms)


def _forget(
  state: GaussianUnknownNoiseState, prior: GaussianUnknownNoiseState, gamma: ArrayLike
) -> GaussianUnknownNoiseState:
  """The prior times the likelihood so far to the power of gamma."""
  gamma = jnp.asarray(gamma, jnp.float32)
  old, new = gamma * state.precision, (1 - gamma) * prior.precision
  shift = state.mean - prior.mean
  return GaussianUnknownNoiseState(
    mean=prior.mean + old / (old + new) * shift,
    precision=old + new,
    a=gamma * state.a + (1 - gamma) * prior.a,
    b=gamma * state.b + (1 - gamma) * prior.b + old * new / (old + new) * shift**2 / 2,
  )


def _learn(
  state: GaussianUnknownNoiseState, reward: jax.Array, weight: jax.Array
) -> GaussianUnknownNoiseState:
  """One reward; sums of squares would lose their digits where rewards are far from 0."""
  surprise = reward - state.mean
  precision = state.precision + weight
  return GaussianUnknownNoiseState(
    mean=state.mean + weight / precision * surprise,
    precision=precision,
    a=state.a + weight / 2,
    b=state.b + weight * state.precision / precision * surprise**2 / 2,
  )
