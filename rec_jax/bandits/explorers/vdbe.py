"""Epsilon-greedy that sets its own rate from how much the beliefs still move."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Explorer
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Feedback


def vdbe(sensitivity: ArrayLike = 0.01, step_size: ArrayLike = 0.01) -> Explorer:
  """Value-difference based exploration (Tokic 2010, equations 4 to 7), one rate for all.

  Every row moves epsilon by `step_size` towards tanh(|change of the mean| / (2 sensitivity)), so
  exploring starts at 1, fades as the belief settles, and returns when the world changes.

  Args:
    sensitivity: change of the mean at which epsilon tends to 0.46, in units of reward, > 0.
    step_size: in (0, 1]; Tokic takes one over the number of actions.

  Raises:
    InputError: a value is out of range.
  """
  check_range('sensitivity', sensitivity, 0, open_low=True)
  check_range('step_size', step_size, 0, 1, open_low=True)

  def init(key: jax.Array, spec: ArmSpec) -> jax.Array:
    del key, spec
    return jnp.ones((), jnp.float32)

  def update(epsilon: jax.Array, feedback: Feedback) -> jax.Array:
    del feedback
    return epsilon

  def watch(epsilon: jax.Array, change: jax.Array, weight: jax.Array) -> jax.Array:
    # (1 - e^-x) / (1 + e^-x) is tanh(x / 2).
    target = jnp.tanh(jnp.abs(change) / sensitivity / 2)
    return jnp.where(weight == 0, epsilon, epsilon + step_size * (target - epsilon))

  # The state is the rate itself, so the schedule is the identity.
  return epsilon_greedy(lambda epsilon: epsilon)._replace(init=init, update=update, watch=watch)
