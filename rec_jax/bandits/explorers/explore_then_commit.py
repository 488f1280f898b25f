"""Explore uniformly for a while, then never again."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.explorers.by_score import highest
from rec_jax.bandits.hyperparameters import check_range


def explore_then_commit(num_explore: jax.typing.ArrayLike = 1000) -> Explorer:
  """Uniform for the first rows of feedback, greedy after (Lattimore & Szepesvari 2020, chapter 6).

  Args:
    num_explore: rows of feedback before committing.

  Raises:
    InputError: num_explore is negative.
  """
  check_range('num_explore', num_explore, 0)

  def score(count: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del mask
    # Equal scores are chosen uniformly.
    return jnp.where(count < num_explore, 0.0, outlook.mean)

  return highest(score)
