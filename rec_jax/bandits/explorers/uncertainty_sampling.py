"""Active learning: choose what is known least, whatever it is worth."""

import jax

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count


def uncertainty_sampling() -> Explorer:
  """The highest variance of the expected reward (Lewis & Gale 1994); ties by chance."""

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del state
    return masked_argmax(key, outlook.variance, mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key, state
    return argmax_probabilities(outlook.variance, mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
