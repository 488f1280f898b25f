"""A continuous action in [0, 1], as a fine grid of candidates.

The loss of Majzoub et al. (2020), section 5: how far the action is from what the context asks for.
"""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class ContinuousData:
  """What the truth of each seed has in common.

  Attributes:
    width: [] in (0, 1], how far from the best action the expected reward has fallen to 0.
    noise: [] standard deviation of a reward around its mean.
  """

  width: jax.Array
  noise: jax.Array


def continuous_environment(num_candidates: int, dim: int) -> Environment:
  """One user a round, x from N(0, I / D), chooses among G actions (k + 1/2) / G of [0, 1].

  The expected reward is max(0, 1 - |a - a*(x)| / width), with a*(x) = sigmoid(weights . x) and
  weights from N(0, 4 I) once a seed. A width of 1 is the loss |a - a*| of a regression; a narrow
  one is a peak with nothing around it that leads there.

  The one feature of a candidate is its action, and the query is x. Regret is against the best
  candidate, which is at most 1 / (2 G width) worse than the best action of [0, 1].

  Args:
    num_candidates: G; candidate k is arm k.
    dim: D.

  Returns:
    An environment over `ContinuousData`; its state is the weights [D].
  """
  actions = (jnp.arange(num_candidates, dtype=jnp.float32) + 0.5) / num_candidates

  def init(key: jax.Array, data: ContinuousData) -> jax.Array:
    del data
    return 2 * jax.random.normal(key, (dim,))

  def observe(key: jax.Array, data: ContinuousData, state: jax.Array, t: jax.Array) -> Context:
    del data, state, t
    return one_user(jax.random.normal(key, (dim,)) / jnp.sqrt(dim), actions[:, None])

  def step(
    key: jax.Array,
    data: ContinuousData,
    state: jax.Array,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[jax.Array, Feedback, Metrics]:
    del t
    best = jax.nn.sigmoid(context.query[0] @ state)
    expected = action_rewards(actions, best, data.width)[None]
    mean = jnp.take_along_axis(expected, decision.index, axis=1)
    reward = mean + data.noise * jax.random.normal(key, mean.shape)
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)


def action_rewards(actions: jax.Array, best: jax.Array, width: jax.Array) -> jax.Array:
  """[G] expected rewards of actions [G] where the best is at `best` []."""
  return jnp.maximum(0.0, 1 - jnp.abs(actions - best) / width)
