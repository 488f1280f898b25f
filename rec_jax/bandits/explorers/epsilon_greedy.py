"""Explore uniformly with probability epsilon, else choose the highest expected reward."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax, uniform_probabilities
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def epsilon_greedy(epsilon: Hyperparameter = 0.1) -> Explorer:
  """Epsilon-greedy (Sutton & Barto 2018, section 2.2).

  Args:
    epsilon: probability of a uniform choice, a number in [0, 1] or an Optax schedule of the rows
      of feedback so far.

  Raises:
    InputError: epsilon is outside [0, 1].
  """
  check_range('epsilon', epsilon, 0, 1)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    coin_key, tie_key = jax.random.split(key)
    explore = jax.random.uniform(coin_key) < value_at(epsilon, state)
    # Equal scores are chosen uniformly.
    return masked_argmax(tie_key, jnp.where(explore, 0.0, outlook.mean), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key
    share = jnp.asarray(value_at(epsilon, state))
    exploit = argmax_probabilities(outlook.mean, mask)
    return share * uniform_probabilities(mask) + (1 - share) * exploit

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
