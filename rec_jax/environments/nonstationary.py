"""Worlds of fresh arms a round whose weights change, slowly or at once: see `synthetic`."""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment
from rec_jax.environments.synthetic import linear_environment, unit_weights


@struct.dataclass
class DriftingData:
  """What the truth of each seed has in common where weights wander.

  Attributes:
    noise_variance: [] of one reward around features . weights.
    drift: [] in [0, 1], share of the variance of the weights that is drawn anew in a round.
  """

  noise_variance: jax.Array
  drift: jax.Array


@struct.dataclass
class PiecewiseData:
  """What the truth of each seed has in common where weights are others after each change point.

  Attributes:
    changes: [C] int32, the first round with new weights of each change.
    noise_variance: [] of one reward around features . weights.
  """

  changes: jax.Array
  noise_variance: jax.Array


def drifting_environment(num_candidates: int, dim: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but each seed's weights wander after every round.

  w <- sqrt(1 - drift) w + sqrt(drift) N(0, I): entries of variance 1 keep it.

  Args:
    num_candidates: K.
    dim: F.
    num_users: B.

  Returns:
    An environment over `DriftingData` whose state is the weights [F].
  """

  def move(key: jax.Array, data: DriftingData, weights: jax.Array, t: jax.Array) -> jax.Array:
    del t
    fresh = jax.random.normal(key, weights.shape)
    return jnp.sqrt(1 - data.drift) * weights + jnp.sqrt(data.drift) * fresh

  return linear_environment(num_candidates, dim, num_users, move)


def piecewise_environment(num_candidates: int, dim: int, num_users: int = 1) -> Environment:
  """As `linear_environment`, but with weights drawn anew from each change point on.

  The switching problem of Garivier & Moulines (2011), On Upper-Confidence Bound Policies for
  Switching Bandit Problems, with features. The weights are each seed's own; the change points are
  those of the data, the same for all seeds, so that the mean regret over seeds shows what a change
  costs.

  Args:
    num_candidates: K.
    dim: F.
    num_users: B.

  Returns:
    An environment over `PiecewiseData` whose state is the weights [F] of the round.
  """

  def move(key: jax.Array, data: PiecewiseData, weights: jax.Array, t: jax.Array) -> jax.Array:
    return jnp.where(jnp.any(data.changes == t + 1), unit_weights(key, dim), weights)

  return linear_environment(num_candidates, dim, num_users, move)
