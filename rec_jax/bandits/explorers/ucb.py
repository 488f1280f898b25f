"""Optimism: choose the highest upper confidence bound."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def ucb(alpha: Hyperparameter = 1.0) -> Explorer:
  """The highest mean + alpha * standard deviation (LinUCB: Li et al. 2010, algorithm 1).

  Args:
    alpha: width, a number >= 0 or an Optax schedule of the rows of feedback so far.

  Raises:
    InputError: alpha is negative.
  """
  check_range('alpha', alpha, 0)

  def bound(state: jax.Array, outlook: Outlook) -> jax.Array:
    return outlook.mean + value_at(alpha, state) * jnp.sqrt(outlook.variance)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    return masked_argmax(key, bound(state, outlook), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key
    return argmax_probabilities(bound(state, outlook), mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
