"""Choose the highest expected reward."""

import jax

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count


def greedy() -> Explorer:
  """The highest mean; ties by chance."""

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del state
    return masked_argmax(key, outlook.mean, mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key, state
    return argmax_probabilities(outlook.mean, mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
