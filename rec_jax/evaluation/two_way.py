"""Intervals where both users and items are samples: the two-way bootstrap.

Resampling users alone says how a mean would change with other users who meet the same items. Where
a few items have most of the events it would change far more with other items. The pigeonhole
bootstrap (Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), section 3)
resamples users and items independently; an observation counts as often as its user and its item
were drawn, multiplied. Its variance covers those of users, items and their interaction, and is
never too small in expectation (section 4); where only the interaction varies it is up to three
times too large.
"""

import functools
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import sparse

from rec_jax.evaluation.intervals import CHUNK_SIZE, RESAMPLES, Estimate

# Ends the name of a metric that counts each item alike, instead of each user.
BY_ITEM = ', by item'


def user_macro(
  key: jax.Array,
  table: Mapping[str, ArrayLike],
  users: ArrayLike,
  items: ArrayLike,
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
  """Means over users of the mean within each user, with two-way intervals.

  Args:
    key: typed key.
    table: name -> [n] a value an observation; all names share the resamples, so that a difference
      may be one of them.
    users: [n] labels.
    items: [n] labels.
    level: probability that each interval, by itself, covers its mean.
    resamples: number of bootstrap samples.

  Returns:
    name -> the estimate. Its n is the number of users or of items, whichever is less, for that
    decides how much is known; the ends are NaN where it is 1.

  Raises:
    ValueError: the lengths differ, there is no observation, or a value is not finite.
  """
  return _weighted(key, table, users, items, users, level, resamples)


def item_macro(
  key: jax.Array,
  table: Mapping[str, ArrayLike],
  users: ArrayLike,
  items: ArrayLike,
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
  """Means over items of the mean within each item: no few items decide; see `user_macro`."""
  return _weighted(key, table, users, items, items, level, resamples)


def exposure_share(
  key: jax.Array,
  exposure: sparse.csr_array,
  marked: np.ndarray,
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> Estimate:
  """The share of what users were shown that some items have, each user alike, two-way.

  That of `user_macro` where each exposure is an observation.

  Args:
    key: typed key.
    exposure: [U, N], how often each user was shown each item; every user something.
    marked: [N] bool, the items.
    level: as in `user_macro`.
    resamples: likewise.
  """
  items = np.flatnonzero(exposure.sum(axis=0))
  table, marked = exposure[:, items], marked[items]
  table = sparse.diags_array(1 / table.sum(axis=1)) @ table
  value, number = float(table[:, marked].sum() / table.shape[0]), min(table.shape)
  low = high = float('nan')
  if number > 1:
    found = []
    for of_users, of_items in _resamples(key, table.shape, resamples):
      shown = (table.T @ of_users) * of_items
      with np.errstate(invalid='ignore'):
        found.append(shown[marked].sum(axis=0) / shown.sum(axis=0))
    low, high = np.nanquantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2]).tolist()
  return Estimate(value, low, high, number)


def share_of_most_frequent(labels: ArrayLike, number: int) -> float:
  """The share of observations [n] that the most frequent labels have."""
  counts = np.sort(np.unique(np.asarray(labels), return_counts=True)[1])
  return float(counts[-number:].sum() / counts.sum())


def draws(key: jax.Array, number: ArrayLike, size: int) -> jax.Array:
  """[size] float32, how often each of `number` labels is drawn, with replacement, as often.

  The first are the labels; the rest, up to a size that programs may share, is zero.
  """
  chosen = jax.random.randint(key, (size,), 0, number)
  return jnp.zeros(size).at[chosen].add(jnp.where(jnp.arange(size) < number, 1.0, 0.0))


def _at_once(number: int) -> int:
  """Resamples of so many users or items at once: one program for all but large tables."""
  return max(1, min(250, CHUNK_SIZE // number))


def _resamples(
  key: jax.Array, sizes: tuple[int, int], resamples: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """How often each user [U, R] and each item [I, R] is drawn, for some resamples at a time.

  Args:
    key: typed key.
    sizes: U and I.
    resamples: of all, the sum of R.
  """
  keys, at_once = jax.random.split(key, resamples), _at_once(max(sizes))
  for start in range(0, resamples, at_once):
    both = jax.vmap(jax.random.split)(keys[start : start + at_once]).T
    of_users, of_items = (
      np.ascontiguousarray(np.asarray(_drawn(part, size, _power_of_two(size)))[:, :size].T)
      for part, size in zip(both, sizes, strict=True)
    )
    yield of_users, of_items


@functools.partial(jax.jit, static_argnames='size')
def _drawn(keys: jax.Array, number: int, size: int) -> jax.Array:
  """[resamples, size], see `draws`."""
  return jax.vmap(draws, in_axes=(0, None, None))(keys, number, size)


def _weighted(
  key: jax.Array,
  table: Mapping[str, ArrayLike],
  users: ArrayLike,
  items: ArrayLike,
  unit: ArrayLike,
  level: float,
  resamples: int,
) -> dict[str, Estimate]:
  """Means in which each unit weighs the same, whatever the number of its observations."""
  values = np.stack([np.asarray(column, np.float64) for column in table.values()], axis=1)
  user, item, within = (
    np.unique(np.asarray(x), return_inverse=True)[1] for x in (users, items, unit)
  )
  if not len(values) == len(user) == len(item) or not len(values):
    raise ValueError(f'{len(values)} values of {len(user)} users and {len(item)} items')
  if not np.isfinite(values).all():
    raise ValueError(f'{np.count_nonzero(~np.isfinite(values))} values are not finite')
  weight = 1 / np.bincount(within)[within]
  centre = weight @ values / weight.sum()
  sizes = int(user.max()) + 1, int(item.max()) + 1
  low = high = np.full_like(centre, np.nan)
  if min(sizes) > 1:
    columns = weight, *(weight * column for column in (values - centre).T)
    tables = [sparse.coo_array((each, (item, user)), sizes[::-1]).tocsr() for each in columns]
    means = []
    for of_users, of_items in _resamples(key, sizes, resamples):
      total, *sums = (((table @ of_users) * of_items).sum(axis=0) for table in tables)
      with np.errstate(invalid='ignore'):
        means.append(np.stack(sums, axis=1) / total[:, None])
    # A resample may miss every observation, where few users met few items: it says nothing.
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = centre + np.nanquantile(np.concatenate(means), tails, axis=0)
  ends = zip(centre.tolist(), low.tolist(), high.tolist(), strict=True)
  return {name: Estimate(*end, min(sizes)) for name, end in zip(table, ends, strict=True)}


def _power_of_two(number: int) -> int:
  """The next one, itself included."""
  return 1 << (number - 1).bit_length()
