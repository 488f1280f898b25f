"""Choose any candidate with the same probability."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import masked_argmax, uniform_probabilities
from rec_jax.bandits.explorers.counting import count_rows, init_count


def uniform() -> Explorer:
  """Uniform over the candidates that are not masked, whatever is believed."""

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del state, outlook
    return masked_argmax(key, jnp.zeros(mask.shape), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key, state, outlook
    return uniform_probabilities(mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
