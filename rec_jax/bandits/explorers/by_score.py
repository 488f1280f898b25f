"""The highest of some score, ties by chance: what greedy, optimistic and index rules share."""

from collections.abc import Callable

import jax

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count

Score = Callable[[jax.Array, Outlook, jax.Array], jax.Array]


def highest(score: Score) -> Explorer:
  """Chooses by `score`: (rows of feedback so far [], outlook, mask [K]) -> [K]."""

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    return masked_argmax(key, score(state, outlook, mask), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key
    return argmax_probabilities(score(state, outlook, mask), mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
