"""Boltzmann exploration."""

import jax

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import perturbed_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def softmax(temperature: Hyperparameter = 0.1) -> Explorer:
  """Chooses with probability proportional to exp(mean / temperature).

  Args:
    temperature: in units of reward, a number > 0 or an Optax schedule of the rows of feedback so
      far.

  Raises:
    InputError: temperature is not positive.
  """
  check_range('temperature', temperature, 0, open_low=True)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    return perturbed_argmax(key, outlook.mean / value_at(temperature, state), mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    del key
    return jax.nn.softmax(outlook.mean / value_at(temperature, state), where=mask)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: True)
