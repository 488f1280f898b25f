"""Posterior sampling."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief, Explorer, Outlook
from rec_jax.bandits.choice import argmax_probabilities, masked_argmax, uniform_probabilities
from rec_jax.bandits.chunks import MOST_NUMBERS, by_rows
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.hyperparameters import Hyperparameter, check_range, value_at

_NUM_POINTS = 257
_TINY = 1e-30


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

  def scaled(state: jax.Array, outlook: Outlook, draws: jax.Array) -> jax.Array:
    # Of a draw as it is the mean need not be known, which takes as long as the draw.
    if isinstance(scale, int | float) and scale == 1:
      return draws
    return outlook.mean + value_at(scale, state) * (draws - outlook.mean)

  def select(key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    draw_key, tie_key = jax.random.split(key)
    draw = scaled(state, outlook, outlook.sample(draw_key, 1)[0])
    return masked_argmax(tie_key, draw, mask)

  def probabilities(
    key: jax.Array, state: jax.Array, outlook: Outlook, mask: jax.Array
  ) -> jax.Array:
    if outlook.cdf is not None:
      return _best_of_independent(outlook.cdf, outlook, mask, value_at(scale, state))
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

  def is_exact(belief: Belief) -> bool:
    return belief.cdf is not None or belief.members is not None

  return Explorer(init_count, select, probabilities, count_rows, is_exact)


def _best_of_independent(
  cdf: Callable[[jax.Array], jax.Array], outlook: Outlook, mask: jax.Array, scale: ArrayLike
) -> jax.Array:
  """[K] the integral of dF_k(x) times the product of F_j(x) over j != k, by the trapezoid rule.

  Half of the points are spaced evenly from the highest lower end to the highest upper end of the
  candidates, 8 standard deviations from their means: outside, nothing decides who is best. The
  others are quantiles of the maximum on the first half, fine where narrow candidates compete.
  """
  deviation = scale * jnp.sqrt(outlook.variance)

  def highest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(mask, x, -jnp.inf))

  def logs_below(x: jax.Array) -> jax.Array:
    stretched = outlook.mean + (x[:, None] - outlook.mean) / jnp.maximum(scale, _TINY)
    return jnp.log(jnp.maximum(jnp.where(mask, cdf(stretched), 1), _TINY))

  def add(
    carry: tuple[jax.Array, jax.Array, jax.Array], x: jax.Array
  ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
    """The shares [K] of the mass between the last point and each of the next."""
    share, last_below, last_others = carry
    logs = logs_below(x)
    below = jnp.concatenate([last_below[None], jnp.exp(logs)])
    others = jnp.exp(jnp.sum(logs, axis=1, keepdims=True) - logs)
    others = jnp.concatenate([last_others[None], others])
    mass = jnp.diff(below, axis=0) * (others[1:] + others[:-1]) / 2
    return (share + jnp.sum(mass, axis=0), below[-1], others[-1]), None

  low, high = highest(outlook.mean - 8 * deviation), highest(outlook.mean + 8 * deviation)
  # Room for a scale of 0, where all candidates are points.
  margin = 1e-5 * jnp.maximum(1, jnp.abs(high))
  even = jnp.linspace(low - margin, high + margin, _NUM_POINTS)
  num_candidates = len(mask)
  of_maximum = jnp.exp(by_rows(lambda x: jnp.sum(logs_below(x), axis=1), even, num_candidates))
  quantiles = jnp.interp(jnp.linspace(0, 1, _NUM_POINTS), of_maximum, even)
  points = jnp.sort(jnp.concatenate([even, quantiles]))
  # Nothing is below the first point, so that whatever is said of the others there does not count.
  nothing = jnp.zeros(num_candidates)
  carry = nothing, nothing, nothing
  size = max(1, MOST_NUMBERS // (4 * num_candidates))
  if len(points) <= size:
    carry, _ = add(carry, points)
  else:
    # The last point again holds no mass.
    padded = jnp.pad(points, (0, -len(points) % size), mode='edge')
    carry, _ = jax.lax.scan(add, carry, padded.reshape(-1, size))
  share = jnp.where(mask, carry[0], 0)
  return share / jnp.maximum(jnp.sum(share), _TINY)
