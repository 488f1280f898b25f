"""Explore uniformly for a while, then never again."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import check_range


def explore_then_commit(num_explore: jax.typing.ArrayLike = 1000) -> Explorer:
  """Uniform for the first rows of feedback, greedy after (Lattimore & Szepesvari 2020, chapter 6).

  Args:
    num_explore: rows of feedback before committing.

  Raises:
    InputError: num_explore is negative.
  """
  check_range('num_explore', num_explore, 0)

  def scores(state: jax.Array, outlook: Outlook) -> jax.Array:
    # Equal scores are chosen uniformly.
    return jnp.where(state < num_explore, 0.0, outlook.mean)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    return masked_argmax(key, scores(state, outlook), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key
    return argmax_probabilities(scores(state, outlook), mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
