"""The probability that a candidate is the best of independent ones: integrals on a line."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.bandits.chunks import MOST_NUMBERS, by_rows

_NUM_POINTS = 257
_TINY = 1e-30

# Of the integral over one normal candidate. What lies further from a mean than so many deviations
# does not count; the points nearest to the lower end are as dense as the narrowest candidate that
# matters asks for, but not denser than this share of the whole. The best of many is a narrow peak,
# which takes twice the points, and lies a little higher.
_NUM_DEVIATIONS = 5.5
_DENSEST = 2e-4
_LEAST_DEVIATION = 1e-20
# Factors next to 1 lose up to 3e-8 each to rounding; of more of them the logs are summed, which
# takes four times as long.
_MOST_FACTORS = 2**11
_FEW_CANDIDATES = 128


def normal_cdf(mean: jax.Array, variance: jax.Array) -> Callable[[jax.Array], jax.Array]:
  """x [Q, K] -> [Q, K], the distribution function of each of K normals at its own Q points."""
  deviation = jnp.sqrt(jnp.maximum(variance, _TINY))
  return lambda x: jax.scipy.special.ndtr((x - mean) / deviation)


def probability_of_normal(
  mean: jax.Array, deviation: jax.Array, mask: jax.Array, index: jax.Array
) -> jax.Array:
  """P(candidate `index` is the highest) of independent normals, to 1e-4.

  The integral of the candidate's density times the distribution functions F_j of the others. Below
  the highest of the lower ends m_j - z s_j one of them is next to 0. So whatever is narrow begins
  no later than there and ends within 2 z of its own deviations: the further above, the wider all
  that still moves is, and points whose spacing grows with the distance from that end see it all.

  Args:
    mean: [K].
    deviation: [K], 0 allowed.
    mask: [K] bool, False where there is no candidate.
    index: [] of one that is allowed.

  Returns:
    [].
  """
  deviation = jnp.maximum(deviation, _LEAST_DEVIATION)
  num_points = 32 if len(mask) <= _FEW_CANDIDATES else 64
  reach = _NUM_DEVIATIONS * deviation
  lowest = jnp.where(mask, mean - reach, -jnp.inf)
  binding = jnp.argmax(lowest)
  # From one of the means that matter, so that rounding is small beside narrow deviations.
  mean = mean - mean[binding]
  start = -reach[binding]
  highest = mean[index] + math.sqrt(_NUM_DEVIATIONS**2 + 2 * math.log(len(mask))) * deviation[index]
  length = jnp.maximum(highest - start, _LEAST_DEVIATION)
  moves = mask & (mean + reach >= start)
  narrowest = jnp.min(jnp.where(moves, deviation, jnp.inf))
  first = jnp.clip(3 * narrowest, _DENSEST * length, length)
  growth = jnp.log1p(length / first)
  steps = (np.arange(num_points, dtype=np.float32) + 0.5) / num_points
  stretch = jnp.exp(growth * steps)
  x = start + first * (stretch - 1)
  weights = first * stretch * growth / num_points
  others = mask & (jnp.arange(len(mask)) != index)

  def others_below(x: jax.Array) -> jax.Array:
    scaled = (x - mean[:, None]) / (deviation * np.float32(np.sqrt(2)))[:, None]
    if len(mask) <= _MOST_FACTORS:
      below = (1 + jax.scipy.special.erf(scaled)) / 2
      return jnp.prod(jnp.where(others[:, None], below, 1), axis=0)
    logs = jnp.log1p(-jax.scipy.special.erfc(scaled) / 2)
    return jnp.exp(jnp.sum(jnp.where(others[:, None], logs, 0), axis=0))

  scaled = (x - mean[index]) / deviation[index]
  density = by_rows(others_below, x, len(mask)) * jnp.exp(-(scaled**2) / 2)
  return jnp.sum(weights * density) / (deviation[index] * np.float32(np.sqrt(2 * np.pi)))


def probabilities_of_independent(
  cdf: Callable[[jax.Array], jax.Array],
  mean: jax.Array,
  variance: jax.Array,
  scale: ArrayLike,
  mask: jax.Array,
) -> jax.Array:
  """P(each candidate is the highest) of independent ones.

  The integral of dF_k(x) times the product of F_j(x) over j != k, by the trapezoid rule.

  Half of the points are spaced evenly from the highest lower end to the highest upper end of the
  candidates, 8 standard deviations from their means: outside, nothing decides who is best. The
  others are quantiles of the maximum on the first half, fine where narrow candidates compete.

  Args:
    cdf: x [Q, K] -> [Q, K], the distribution function of each candidate at its own Q points.
    mean: [K].
    variance: [K].
    scale: by which distances from the mean are stretched, 0 allowed.
    mask: [K] bool, False where there is no candidate.

  Returns:
    [K], which sums to 1, zeros where all are masked.
  """
  deviation = scale * jnp.sqrt(variance)

  def highest(x: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(mask, x, -jnp.inf))

  def logs_below(x: jax.Array) -> jax.Array:
    stretched = mean + (x[:, None] - mean) / jnp.maximum(scale, _TINY)
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

  low, high = highest(mean - 8 * deviation), highest(mean + 8 * deviation)
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
