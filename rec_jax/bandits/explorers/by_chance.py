"""A choice in proportion to chances that the rule itself works out, so that they are exact."""

from collections.abc import Callable
from typing import Any

import jax

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import masked_categorical
from rec_jax.bandits.explorers.counting import count_rows, init_count

Chances = Callable[[Any, Outlook, jax.Array], jax.Array]


def in_proportion(chances: Chances) -> Explorer:
  """Draws by `chances`: (rows of feedback so far [], outlook, mask [K]) -> [K], which sum to 1."""

  def select(key: jax.Array, state: Any, outlook: Outlook, mask: jax.Array) -> jax.Array:
    return masked_categorical(key, chances(state, outlook, mask), mask)

  def probabilities(key: jax.Array, state: Any, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del key
    return chances(state, outlook, mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
