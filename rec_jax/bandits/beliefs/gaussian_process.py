"""A Gaussian process over candidate features, by random features."""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.linear import LinearState, linear
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

Rows = TypeVar('Rows', Context, Feedback)


@struct.dataclass
class GaussianProcessState:
  """Random features and the regression on them.

  Attributes:
    frequencies: [R, F] for a length scale of 1.
    phases: [R] in [0, 2 pi).
    weights: posterior of [R] weights.
  """

  frequencies: jax.Array
  phases: jax.Array
  weights: LinearState


def gaussian_process(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  length_scale: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  num_features: int = 64,
) -> Belief:
  """GP with kernel exp(-|x - y|^2 / (2 length_scale^2)) / lambda_ (Rahimi & Recht 2007).

  `linear` on R features sqrt(2 / R) cos(frequency . x / length_scale + phase), whose inner
  products are the kernel on average, with an error of about 1 / sqrt(R). Each seed draws its own.

  Args:
    lambda_: one over the prior variance of a reward.
    noise_variance: of one reward around its expectation.
    length_scale: of the kernel, in units of the features.
    gamma: forgetting, see `linear`.
    num_features: R.

  Returns:
    A belief that reads `features` only.

  Raises:
    InputError: a value is out of range.
  """
  check_range('length_scale', length_scale, 0, open_low=True)
  check_range('num_features', num_features, 1)
  regression = linear(lambda_, noise_variance, gamma=gamma)

  def init(key: jax.Array, spec: ArmSpec) -> GaussianProcessState:
    frequency_key, phase_key, weights_key = jax.random.split(key, 3)
    return GaussianProcessState(
      frequencies=jax.random.normal(frequency_key, (num_features, spec.arm_dim)),
      phases=jax.random.uniform(phase_key, (num_features,), maxval=2 * np.pi),
      weights=regression.init(weights_key, spec._replace(arm_dim=num_features)),
    )

  def mapped(state: GaussianProcessState, rows: Rows) -> Rows:
    angles = rows.features @ state.frequencies.T / length_scale + state.phases
    return dataclasses.replace(rows, features=np.sqrt(2 / num_features) * jnp.cos(angles))

  def predict(state: GaussianProcessState, context: Context) -> tuple[jax.Array, jax.Array]:
    return regression.predict(state.weights, mapped(state, context))

  def sample(
    key: jax.Array, state: GaussianProcessState, context: Context, num_samples: int
  ) -> jax.Array:
    return regression.sample(key, state.weights, mapped(state, context), num_samples)

  def update(
    key: jax.Array, state: GaussianProcessState, feedback: Feedback
  ) -> GaussianProcessState:
    weights = regression.update(key, state.weights, mapped(state, feedback))
    return dataclasses.replace(state, weights=weights)

  return Belief(init, predict, sample, update)
