"""Choose the highest expected reward."""

from rec_jax.bandits.base import Explorer
from rec_jax.bandits.explorers.by_score import highest


def greedy() -> Explorer:
  """The highest mean; ties by chance."""
  return highest(lambda count, outlook, mask: outlook.mean)
