"""Worlds of fresh arms a round whose weights change, slowly or at once: see `synthetic`."""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment
from rec_jax.environments.synthetic import fresh_arms_environment


@struct.dataclass
class DriftingData:
  """The truth of a linear world whose weights wander.

  Attributes:
    weights: [F] float32, at the first round.
    noise_variance: [] of one reward around features . weights.
    drift: [] in [0, 1], share of the variance of the weights that is drawn anew in a round.
  """

  weights: jax.Array
  noise_variance: jax.Array
  drift: jax.Array


@struct.dataclass
class PiecewiseData:
  """The truth of a linear world whose weights are others after each change point.

  Attributes:
    weights: [C + 1, F] float32, before the first change, after it, and so on.
    changes: [C] int32, the first round of each new row of weights, ascending.
    noise_variance: [] of one reward around features . weights.
  """

  weights: jax.Array
  changes: jax.Array
  noise_variance: jax.Array


def drifting_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but each seed's weights wander after every round, all alike at first.

  w <- sqrt(1 - drift) w + sqrt(drift) N(0, I): entries of variance 1 keep it.

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `DriftingData` whose state is the weights [F].
  """

  def move(key: jax.Array, data: DriftingData, weights: jax.Array) -> jax.Array:
    fresh = jax.random.normal(key, weights.shape)
    return jnp.sqrt(1 - data.drift) * weights + jnp.sqrt(data.drift) * fresh

  return fresh_arms_environment(
    num_candidates,
    num_users,
    init=lambda data: data.weights,
    mean=lambda data, weights, t, features: features @ weights,
    move=move,
  )


def piecewise_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but with other weights from each change point on.

  The switching problem of Garivier & Moulines (2011), On Upper-Confidence Bound Policies for
  Switching Bandit Problems, with features. The change points are those of the data, the same for
  all seeds, so that the mean regret over seeds shows what a change costs.

  Args:
    num_candidates: K.
    num_users: B.

  Returns:
    An environment over `PiecewiseData`.
  """

  def mean(data: PiecewiseData, state: tuple[()], t: jax.Array, features: jax.Array) -> jax.Array:
    del state
    return features @ data.weights[jnp.sum(t >= data.changes)]

  return fresh_arms_environment(num_candidates, num_users, mean=mean)
