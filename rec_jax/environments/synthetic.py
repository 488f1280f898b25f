"""A world that is linear in the features of the candidates, for checking regret against theory."""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class LinearData:
  """The truth.

  Attributes:
    weights: [F] float32, expected reward = features . weights.
    noise_variance: [] of one reward around it.
  """

  weights: jax.Array
  noise_variance: jax.Array


def linear_environment(num_candidates: int, num_users: int = 1) -> Environment:
  """Stationary: at each round B users see K fresh candidates with features from N(0, I / F).

  Args:
    num_candidates: K; candidate k is arm k.
    num_users: B users deciding at once, ids 0 to B - 1; queries are zeros with D = F.

  Returns:
    An environment over `LinearData`.
  """

  def init(key: jax.Array, data: LinearData) -> tuple[()]:
    del key, data
    return ()

  def observe(key: jax.Array, data: LinearData, state: tuple[()], t: jax.Array) -> Context:
    del state, t
    arm_dim = len(data.weights)
    shape = (num_users, num_candidates)
    return Context(
      user_id=jnp.arange(num_users),
      query=jnp.zeros((num_users, arm_dim), jnp.float32),
      features=jax.random.normal(key, (*shape, arm_dim)) / jnp.sqrt(arm_dim),
      arm_ids=jnp.broadcast_to(jnp.arange(num_candidates), shape),
      mask=jnp.ones(shape, bool),
    )

  def step(
    key: jax.Array,
    data: LinearData,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    del t
    expected = context.features @ data.weights
    chosen = jnp.take_along_axis(expected, decision.index, axis=1)
    noise = jax.random.normal(key, chosen.shape) * jnp.sqrt(data.noise_variance)
    metrics = Metrics(
      reward=chosen + noise,
      expected_reward=chosen,
      best_expected_reward=jax.lax.top_k(expected, decision.index.shape[1])[0],
      arm_id=decision.arm_id,
      user_id=context.user_id,
    )
    return state, outcome_rows(context, decision, metrics.reward), metrics

  return Environment(init, observe, step)
