"""The wheel: the larger its inner disc, the more exploration a policy needs to do well.

Riquelme, Tucker & Snoek (2018), Deep Bayesian Bandits Showdown, section 5.4.
"""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback

NUM_ARMS = 5
# Each arm has its own weights for (1, x, y).
ARM_DIM = NUM_ARMS * 3


@struct.dataclass
class WheelData:
  """The truth; the defaults are those of the paper.

  Attributes:
    disc_radius: [] in (0, 1), radius of the inner disc.
    safe: [] mean reward of arm 0 everywhere.
    low: [] of arms 1 to 4, except where one of them is high.
    high: [] of the arm of its quadrant, outside the inner disc.
    noise: [] standard deviation of a reward around its mean.
  """

  disc_radius: jax.Array | float = 0.5
  safe: jax.Array | float = 1.2
  low: jax.Array | float = 1.0
  high: jax.Array | float = 50.0
  noise: jax.Array | float = 0.01


def wheel_environment() -> Environment:
  """One user a round, at a point of the unit disc that is drawn anew, who chooses of five arms.

  The query is the point [2]. The features of an arm are (1, x, y) in its own three places of 15
  and 0 elsewhere, so that what is linear and shared by all arms has weights of each arm's own.

  The truth is that of the paper, the same for all seeds: they differ in the points that they see.

  Returns:
    An environment over `WheelData`.
  """

  def observe(key: jax.Array, data: WheelData, state: tuple[()], t: jax.Array) -> Context:
    del data, state, t
    radius_key, angle_key = jax.random.split(key)
    # The area within radius r is that share r^2 of the disc.
    radius = jnp.sqrt(jax.random.uniform(radius_key))
    angle = jax.random.uniform(angle_key, maxval=2 * jnp.pi)
    point = radius * jnp.array([jnp.cos(angle), jnp.sin(angle)])
    features = jnp.kron(jnp.eye(NUM_ARMS), jnp.concatenate([jnp.ones(1), point]))
    return one_user(point, features)

  def step(
    key: jax.Array,
    data: WheelData,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    del t
    expected = wheel_means(data, context.query[0])[None]
    mean = jnp.take_along_axis(expected, decision.index, axis=1)
    reward = mean + data.noise * jax.random.normal(key, mean.shape)
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: (), observe, step)


def wheel_means(data: WheelData, point: jax.Array) -> jax.Array:
  """Mean reward [5] of the arms at a point [2]; arms 1 to 4 own (+, +), (+, -), (-, +), (-, -)."""
  quadrant = 1 + 2 * (point[0] < 0) + (point[1] < 0)
  is_high = (jnp.arange(NUM_ARMS) == quadrant) & (jnp.linalg.norm(point) > data.disc_radius)
  return jnp.where(is_high, data.high, data.low).at[0].set(data.safe)
