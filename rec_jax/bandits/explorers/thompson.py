"""Posterior sampling."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at


def thompson(scale: Hyperparameter = 1.0, num_samples: int = 256) -> Explorer:
  """Thompson sampling (Thompson 1933): the best candidate of one joint draw from the posterior.

  Each position of a slate has a draw of its own, so its propensity is that of one choice.

  Args:
    scale: multiplies each draw's distance from the mean (Agrawal & Goyal 2013 call it v), a
      number >= 0 or an Optax schedule of the rows of feedback so far.
    num_samples: M, joint draws behind a propensity, estimated as (count + 1) / (M + K), which is
      never zero.

  Raises:
    InputError: scale is negative or num_samples below 1.
  """
  check_range('scale', scale, 0)
  check_range('num_samples', num_samples, 1)

  def draw(key: jax.Array, state: jax.Array, outlook: Outlook, num_samples: int) -> jax.Array:
    draws = outlook.sample(key, num_samples)
    return outlook.mean + value_at(scale, state) * (draws - outlook.mean)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    draw_key, tie_key = jax.random.split(key)
    return masked_argmax(tie_key, draw(draw_key, state, outlook, 1)[0], mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    draws = draw(key, state, outlook, num_samples)
    count = jnp.sum(jax.vmap(argmax_probabilities, (0, None))(draws, mask), axis=0)
    return jnp.where(mask, (count + 1) / (num_samples + jnp.sum(mask)), 0)

  return Explorer(init_count, select, probabilities, count_rows, is_exact=lambda belief: False)
