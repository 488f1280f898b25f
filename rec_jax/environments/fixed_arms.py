"""Arms that stay the same: the K-armed bandit, and linear rewards over a fixed set of arms.

The truth is drawn anew for each seed, so that a mean over seeds is one over problems.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class ArmsData:
  """What means are drawn from.

  Attributes:
    means: [K] of every seed, or None: then uniform on [0, 1] for rewards of 0 and 1, and N(0, 1)
      for normal ones.
    noise: [] standard deviation of a reward around its mean; None for rewards of 0 and 1.
  """

  means: jax.Array | None
  noise: jax.Array | None


@struct.dataclass
class FixedLinearData:
  """Of `fixed_linear_environment`.

  Attributes:
    noise: [] standard deviation of a reward around its mean.
  """

  noise: jax.Array


@struct.dataclass
class FixedLogisticData:
  """Of `fixed_logistic_environment`, which has no settings."""


@struct.dataclass
class Truth:
  """Of one seed.

  Attributes:
    features: [K, F].
    means: [K] expected rewards.
  """

  features: jax.Array
  means: jax.Array


def arms_environment(num_arms: int) -> Environment:
  """K independent arms without features: each has a 1 in its own place of F = K.

  Args:
    num_arms: K.

  Returns:
    An environment over `ArmsData`.
  """

  def init(key: jax.Array, data: ArmsData) -> Truth:
    if data.means is not None:
      means = data.means
    elif data.noise is None:
      means = jax.random.uniform(key, (num_arms,))
    else:
      means = jax.random.normal(key, (num_arms,))
    return Truth(jnp.eye(num_arms), means)

  def draw(key: jax.Array, data: ArmsData, means: jax.Array) -> jax.Array:
    if data.noise is None:
      return jax.random.bernoulli(key, means).astype(jnp.float32)
    return means + data.noise * jax.random.normal(key, means.shape)

  return _fixed(init, draw)


def fixed_linear_environment(num_arms: int, dim: int) -> Environment:
  """K arms with features from N(0, I / F), and weights from N(0, I), all drawn once a seed.

  Args:
    num_arms: K.
    dim: F.

  Returns:
    An environment over `FixedLinearData`.
  """

  def init(key: jax.Array, data: FixedLinearData) -> Truth:
    del data
    features_key, weights_key = jax.random.split(key)
    features = jax.random.normal(features_key, (num_arms, dim)) / jnp.sqrt(dim)
    return Truth(features, features @ jax.random.normal(weights_key, (dim,)))

  def draw(key: jax.Array, data: FixedLinearData, means: jax.Array) -> jax.Array:
    return means + data.noise * jax.random.normal(key, means.shape)

  return _fixed(init, draw)


def fixed_logistic_environment(num_arms: int, dim: int) -> Environment:
  """K arms that give 1 with probability sigmoid(features . weights), else 0.

  The first feature is 1. The others, from N(0, I), and the weights, from N(0, I / F), are drawn
  once a seed.

  Args:
    num_arms: K.
    dim: F, at least 1.

  Returns:
    An environment over `FixedLogisticData`.
  """

  def init(key: jax.Array, data: FixedLogisticData) -> Truth:
    del data
    features_key, weights_key = jax.random.split(key)
    features = jax.random.normal(features_key, (num_arms, dim)).at[:, 0].set(1)
    weights = jax.random.normal(weights_key, (dim,)) / jnp.sqrt(dim)
    return Truth(features, jax.nn.sigmoid(features @ weights))

  def draw(key: jax.Array, data: FixedLogisticData, means: jax.Array) -> jax.Array:
    del data
    return jax.random.bernoulli(key, means).astype(jnp.float32)

  return _fixed(init, draw)


def _fixed(
  init: Callable[[jax.Array, Any], Truth],
  draw: Callable[[jax.Array, Any, jax.Array], jax.Array],
) -> Environment:
  """One user a round, with a query of nothing but a 1."""

  def observe(key: jax.Array, data: Any, state: Truth, t: jax.Array) -> Context:
    del key, data, t
    return one_user(jnp.ones(1), state.features)

  def step(
    key: jax.Array, data: Any, state: Truth, t: jax.Array, context: Context, decision: Decision
  ) -> tuple[Truth, Feedback, Metrics]:
    del t
    expected = state.means[None]
    reward = draw(key, data, jnp.take_along_axis(expected, decision.index, axis=1))
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)
