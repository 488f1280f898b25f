"""How long something takes where the end is not always seen: medians of right-censored times."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import CHUNK_SIZE, RESAMPLES, Estimate
from rec_jax.evaluation.two_way import draws


def survival(
  time: ArrayLike, observed: ArrayLike, weight: ArrayLike
) -> tuple[jax.Array, jax.Array]:
  """The product-limit estimate (Kaplan & Meier 1958, equation 2b) of weighted times.

  Of equal times those that were observed come first, as the estimate has it.

  Args:
    time: [n] until the event, or until it was last looked.
    observed: [n] bool, False where the event had not come by then.
    weight: [n] at least 0, how often each counts.

  Returns:
    ([n] the times in order, [n] the share that lasts longer than each).
  """
  order = jnp.lexsort((~jnp.asarray(observed), jnp.asarray(time)))
  time, observed, weight = (jnp.asarray(x)[order] for x in (time, observed, weight))
  at_risk = jnp.cumsum(weight[::-1])[::-1]
  left = at_risk - jnp.where(observed, weight, 0)
  # What nothing is at risk of, in a resample, leaves the product as it was.
  return time, jnp.cumprod(jnp.where(at_risk > 0, left / jnp.maximum(at_risk, 1e-30), 1))


def two_way_median(
  key: jax.Array,
  time: ArrayLike,
  observed: ArrayLike,
  users: ArrayLike,
  items: ArrayLike,
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> Estimate:
  """The median of right-censored times, with the two-way percentile bootstrap of `two_way`.

  Args:
    key: typed key.
    time: [n] as in `survival`.
    observed: [n] bool.
    users: [n] labels of what is independent, such as seeds.
    items: [n] labels likewise.
    level: probability that the interval covers the median.
    resamples: number of bootstrap samples.

  Returns:
    The first time at which half or less lasts longer; infinite, as an end of the interval may be,
    where so many events were not seen. Its n is the number of users or of items, whichever is less.

  Raises:
    ValueError: the lengths differ, or there is no time.
  """
  time, observed = np.asarray(time, np.float32), np.asarray(observed, bool)
  user, item = (np.unique(np.asarray(x), return_inverse=True)[1] for x in (users, items))
  if not len(time) == len(observed) == len(user) == len(item) or not len(time):
    raise ValueError(f'{len(time)} times of {len(user)} users and {len(item)} items')
  size = int(user.max()) + 1, int(item.max()) + 1
  value = float(_median(time, observed, np.ones(len(time), np.float32)))
  if min(size) == 1:
    return Estimate(value, float('nan'), float('nan'), 1)
  medians = _resampled_medians(
    jax.random.split(key, resamples),
    *(time, observed, user, item),
    size=size,
    chunk=min(max(1, CHUNK_SIZE // len(time)), resamples),
  )
  # An order statistic: between a time and infinity there is nothing to interpolate.
  found = np.asarray(medians, np.float64)
  low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], method='nearest')
  return Estimate(value, float(low), float(high), min(size))


def _median(time: ArrayLike, observed: ArrayLike, weight: ArrayLike) -> jax.Array:
  """[], the first time that half or less outlasts."""
  ordered, lasting = survival(time, observed, weight)
  # Shares of whole numbers, of which rounding must not make more than a half.
  return jnp.min(jnp.where(lasting <= 0.5 + 1e-5, ordered, jnp.inf))


@functools.partial(jax.jit, static_argnames=('size', 'chunk'))
def _resampled_medians(
  keys: jax.Array,
  time: jax.Array,
  observed: jax.Array,
  user: jax.Array,
  item: jax.Array,
  *,
  size: tuple[int, int],
  chunk: int,
) -> jax.Array:
  """[resamples], each of users and items drawn with replacement."""

  def one(key: jax.Array) -> jax.Array:
    user_key, item_key = jax.random.split(key)
    weight = draws(user_key, size[0], size[0])[user]
    weight = weight * draws(item_key, size[1], size[1])[item]
    return _median(time, observed, weight)

  return jax.lax.map(one, keys, batch_size=chunk)
