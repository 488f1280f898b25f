"""Posterior sampling."""

import jax
import jax.numpy as jnp

from rec_jax.bandits.base import Belief, Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax, uniform_probabilities
from rec_jax.bandits.chunks import MOST_NUMBERS
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at
from rec_jax.bandits.quadrature import probabilities_of_independent, probability_of_normal


def thompson(scale: Hyperparameter = 1.0, num_samples: int = 256) -> Explorer:
  """Thompson sampling (Thompson 1933): the best candidate of one joint draw from the posterior.

  Each position of a slate has a draw of its own, so its propensity is that of one choice.

  Args:
    scale: multiplies each draw's distance from the mean (Agrawal & Goyal 2013 call it v), a
      number >= 0 or an Optax schedule of the rows of feedback so far.
    num_samples: M, joint draws behind the propensity of a belief whose candidates are not
      independent, estimated as (count + 1 / K) / (M + 1), which is never zero: one draw's worth is
      spread over all. With independent candidates it is a one-dimensional integral instead, with an
      ensemble a count over members.

  Raises:
    InputError: scale is negative or num_samples below 1.
  """
  check_range('scale', scale, 0)
  check_range('num_samples', num_samples, 1)

  # Of a draw as it is the mean need not be known, which takes as long as the draw.
  is_as_drawn = isinstance(scale, int | float) and scale == 1

  def scaled(state: jax.Array, outlook: Outlook, draws: jax.Array) -> jax.Array:
    if is_as_drawn:
      return draws
    return outlook.mean + value_at(scale, state) * (draws - outlook.mean)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    draw_key, tie_key = jax.random.split(key)
    draw = scaled(state, outlook, outlook.sample(draw_key, 1)[0])
    return masked_argmax(tie_key, draw, mask & jnp.isfinite(draw))

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    if outlook.cdf is not None:
      moments = outlook.mean, outlook.variance, value_at(scale, state)
      return probabilities_of_independent(outlook.cdf, *moments, mask)
    is_best = jax.vmap(argmax_probabilities, (0, None))
    if outlook.members is not None:
      return jnp.mean(is_best(scaled(state, outlook, outlook.members), mask), axis=0)

    def count(key: jax.Array, number: int) -> jax.Array:
      draws = scaled(state, outlook, outlook.sample(key, number))
      return jnp.sum(is_best(draws, mask), axis=0)

    at_once = max(1, MOST_NUMBERS // len(mask))
    if num_samples <= at_once:
      total = count(key, num_samples)
    else:

      def add(total: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        return total + count(key, at_once), None

      *keys, last = jax.random.split(key, num_samples // at_once + 1)
      total = jax.lax.scan(add, count(last, num_samples % at_once), jnp.stack(keys))[0]
    return (total + uniform_probabilities(mask)) / (num_samples + 1)

  def propensity(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array, index: jax.Array
  ) -> jax.Array:
    if not outlook.is_normal:
      return probabilities(key, state, outlook, mask)[index]
    deviation = jnp.asarray(value_at(scale, state) * jnp.sqrt(outlook.variance))
    return probability_of_normal(outlook.mean, deviation, mask, index)

  return Explorer(
    init_count,
    select,
    probabilities,
    count_rows,
    _is_exact,
    propensity=propensity,
    reads_draws_alone=is_as_drawn,
  )


def _is_exact(belief: Belief) -> bool:
  return belief.is_normal or belief.cdf is not None or belief.members is not None
