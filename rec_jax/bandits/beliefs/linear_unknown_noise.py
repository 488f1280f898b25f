"""Bayesian linear regression on candidate features whose noise variance is learnt too.

reward = features . w + noise, noise ~ N(0, s), w ~ N(0, s I / lambda_), s ~ InverseGamma(a0, b0).
With `thompson` it is the linear posterior sampling of Riquelme et al. (2018, section 3).
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import (
  LinearState,
  forget,
  learn,
  normal,
  quadratic_forms,
)
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback


@struct.dataclass
class LinearUnknownNoiseState:
  """The normal-inverse-gamma posterior.

  Attributes:
    weights: of w for s = 1; mean [F], root [F, F].
    a: [] shape of s.
    b: [] scale of s.
  """

  weights: LinearState
  a: jax.Array
  b: jax.Array


def linear_unknown_noise(
  lambda_: ArrayLike = 1.0,
  a0: ArrayLike = 3.0,
  b0: ArrayLike = 2.0,
  gamma: ArrayLike = 1.0,
) -> Belief:
  """Bayesian linear regression with a normal-inverse-gamma prior.

  Riquelme et al. take b from the difference of two sums of squares (equation 1), which loses its
  digits in float32; the same b grows by the squared error of each prediction before its outcome.

  Args:
    lambda_: prior precision of the weights in units of the noise.
    a0: shape of the noise variance, > 1 so that its mean b0 / (a0 - 1) exists.
    b0: scale of the noise variance.
    gamma: forgetting: before each row of non-zero weight, what was learnt counts gamma times as
      much, as in `linear`. The number 1 costs nothing, another value O(F^3).

  Returns:
    A belief that reads `features` only. Its expected rewards are Student t with 2 a degrees of
    freedom.

  Raises:
    InputError: lambda_ or b0 is not positive, a0 not above 1, or gamma outside (0, 1].
  """
  check_range('lambda_', lambda_, 0, open_low=True)
  check_range('a0', a0, 1, open_low=True)
  check_range('b0', b0, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)
  forgets = not (isinstance(gamma, int | float) and gamma == 1)

  def init(key: jax.Array, spec: ArmSpec) -> LinearUnknownNoiseState:
    del key
    eye = jnp.eye(spec.arm_dim, dtype=jnp.float32)
    return LinearUnknownNoiseState(
      weights=normal(
        jnp.zeros(spec.arm_dim, jnp.float32),
        eye * jnp.asarray(1 / jnp.sqrt(lambda_), jnp.float32),
      ),
      a=jnp.asarray(a0, jnp.float32),
      b=jnp.asarray(b0, jnp.float32),
    )

  def predict(state: LinearUnknownNoiseState, context: Context) -> tuple[jax.Array, jax.Array]:
    variance = quadratic_forms(context.features, state.weights.root)
    return context.features @ state.weights.mean, state.b / (state.a - 1) * variance

  def sample(
    key: jax.Array, state: LinearUnknownNoiseState, context: Context, num_samples: int
  ) -> jax.Array:
    noise_key, weights_key = jax.random.split(key)
    deviation = jnp.sqrt(state.b / jax.random.gamma(noise_key, state.a, (num_samples, 1)))
    noise = deviation * jax.random.normal(weights_key, (num_samples, len(state.weights.mean)))
    return (state.weights.mean + noise @ state.weights.root.T) @ context.features.T

  def forgotten(state: LinearUnknownNoiseState) -> LinearUnknownNoiseState:
    """The prior times the likelihood so far to the power of gamma."""
    weights = forget(state.weights, lambda_, 0.0, gamma)
    # What the squares around the old mean lack around the new one, which is nearer to 0.
    shift = (1 - gamma) * lambda_ * jnp.dot(state.weights.mean, weights.mean) / 2
    return LinearUnknownNoiseState(
      weights=weights,
      a=jnp.asarray(gamma * state.a + (1 - gamma) * a0),
      b=jnp.asarray(gamma * state.b + (1 - gamma) * b0 + shift),
    )

  def update(
    key: jax.Array, state: LinearUnknownNoiseState, feedback: Feedback
  ) -> LinearUnknownNoiseState:
    del key

    def row(
      state: LinearUnknownNoiseState, row: tuple[jax.Array, ...]
    ) -> tuple[LinearUnknownNoiseState, None]:
      features, reward, weight = row
      if forgets:
        old, kept = state, forgotten(state)
        state = jax.tree.map(lambda new, old: jnp.where(weight == 0, old, new), kept, old)
      surprise = reward - jnp.dot(features, state.weights.mean)
      variance = 1 + weight * jnp.sum((state.weights.root.T @ features) ** 2)
      return LinearUnknownNoiseState(
        weights=learn(state.weights, features, reward, weight, 1.0),
        a=state.a + weight / 2,
        b=state.b + weight * surprise**2 / (2 * variance),
      ), None

    rows = (feedback.features, feedback.reward, feedback.weight)
    return jax.lax.scan(row, state, rows)[0]

  return Belief(init, predict, sample, update)
