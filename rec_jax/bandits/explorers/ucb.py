"""Optimism: choose the highest upper confidence bound."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.explorers.by_score import highest
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def ucb(alpha: Hyperparameter = 1.0) -> Explorer:
  """The highest mean + alpha * standard deviation (LinUCB: Li et al. 2010, algorithm 1).

  Args:
    alpha: width, a number >= 0 or an Optax schedule of the rows of feedback so far.

  Raises:
    InputError: alpha is negative.
  """
  check_range('alpha', alpha, 0)

  def bound(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del mask
    return outlook.mean + value_at(alpha, count) * jnp.sqrt(outlook.variance)

  return highest(bound)
