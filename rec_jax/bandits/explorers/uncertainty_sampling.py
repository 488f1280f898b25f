"""Active learning: choose what is known least, whatever it is worth."""

from rec_jax.bandits.base import Explorer
from rec_jax.bandits.explorers.by_score import highest


def uncertainty_sampling() -> Explorer:
  """The highest variance of the expected reward (Lewis & Gale 1994); ties by chance."""
  return highest(lambda count, outlook, mask: outlook.variance)
