"""Intervals for means: bootstrap over users, paired by user, and Student's t.

The unit is the user: values that come with seeds [S, n] are averaged over the seeds within each
user first, so that an interval shows how much a number would change with other users, not with
other seeds.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.typing import ArrayLike

RESAMPLES = 5_000
# Values drawn at once: 2^22 take 16 MiB, whatever the number of users and resamples.
CHUNK_SIZE = 1 << 22


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A mean with its interval.

  Attributes:
    value: the point estimate.
    low: lower end of the interval; NaN where n = 1, which says nothing of the spread.
    high: upper end of the interval; likewise.
    n: number of independent units behind it (users, or seeds).
  """

  value: float
  low: float
  high: float
  n: int


def to_json(estimate: Estimate) -> dict[str, float | int | None]:
  """An estimate as JSON holds it, unknown bounds as null, and both where one is infinite.

  >>> to_json(Estimate(0.5, float('nan'), float('nan'), 1))
  {'value': 0.5, 'low': None, 'high': None, 'n': 1}
  """
  is_known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
  low, high = (estimate.low, estimate.high) if is_known else (None, None)
  return {'value': estimate.value, 'low': low, 'high': high, 'n': estimate.n}


def from_json(value: Mapping[str, Any]) -> Estimate:
  """The estimate that `to_json` wrote, or that a row of metrics holds."""
  low, high = (math.nan if value[end] is None else value[end] for end in ('low', 'high'))
  return Estimate(value['value'], low, high, value['n'])


def user_mean(
  key: jax.Array, values: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES
) -> Estimate:
  """Mean over users with a percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

  Args:
    key: typed key.
    values: [n] a value a user, or [S, n] with seeds, averaged within each user first.
    level: probability that the interval covers the mean.
    resamples: number of bootstrap samples of the n users.

  Returns:
    The estimate.

  Raises:
    ValueError: if there is no value, or one is not finite.
  """
  return user_means(key, {'': values}, level=level, resamples=resamples)['']


def user_means(
  key: jax.Array,
  table: Mapping[str, ArrayLike],
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
  """`user_mean` of many quantities of the same users, who are resampled once for all of them.

  Args:
    key: typed key.
    table: name -> [n] or [S, n], as in `user_mean`; seeds may differ from name to name.
    level: probability that each interval, by itself, covers its mean.
    resamples: number of bootstrap samples of the n users.

  Returns:
    name -> the estimate, in the order of the table.

  Raises:
    ValueError: if the numbers of users differ, there is no value, or one is not finite.
  """
  columns = {name: _per_user(values) for name, values in table.items()}
  sizes = {column.size for column in columns.values()}
  if len(sizes) != 1:
    raise ValueError(f'expected values of the same users, got {sorted(sizes)} users')
  users = np.stack(list(columns.values()), axis=1)
  centre = users.mean(0)
  tails = [(1 - level) / 2, (1 + level) / 2]
  if len(users) > 1:
    low, high = centre + np.quantile(
      _resampled_means(key, users - centre, resamples), tails, axis=0
    )
  else:
    low = high = np.full_like(centre, np.nan)
  ends = zip(centre.tolist(), low.tolist(), high.tolist(), strict=True)
  return {name: Estimate(*end, len(users)) for name, end in zip(columns, ends, strict=True)}


def paired_difference(
  key: jax.Array,
  values: ArrayLike,
  baseline: ArrayLike,
  *,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> Estimate:
  """Mean of `values - baseline`, paired by user: what users have in common cancels.

  Args:
    key: typed key.
    values: [n] or [S, n].
    baseline: [n] or [S', n], the same users in the same order; its seeds need not match.
    level: probability that the interval covers the difference.
    resamples: number of bootstrap samples.

  Returns:
    The estimate of the difference.

  Raises:
    ValueError: if the numbers of users differ, there is none, or a value is not finite.
  """
  values, baseline = _per_user(values), _per_user(baseline)
  if values.size != baseline.size:
    raise ValueError(f'{values.size} users cannot be paired with {baseline.size}')
  return user_mean(key, values - baseline, level=level, resamples=resamples)


def resampled_means(key: jax.Array, values: ArrayLike, resamples: int = RESAMPLES) -> np.ndarray:
  """[resamples, m] means of n units drawn with replacement from [n, m], for what is not a mean.

  The same key draws the same of n units, whatever their values are.
  """
  values = np.asarray(values, np.float64)
  centre = values.mean(0)
  return centre + _resampled_means(key, values - centre, resamples)


def t_interval(values: ArrayLike, *, level: float = 0.95) -> Estimate:
  """Mean of [n] independent values with Student's interval: for few values, such as seeds.

  Args:
    values: [n] independent values.
    level: probability that the interval covers the mean.

  Returns:
    The estimate.

  Raises:
    ValueError: if there is no value, or one is not finite.
  """
  values = _per_user(np.ravel(values))
  mean, half = float(values.mean()), float(t_half_width(values, level=level))
  return Estimate(mean, mean - half, mean + half, values.size)


def share_interval(values: ArrayLike, *, level: float = 0.95) -> Estimate:
  """The share of ones among [n] independent zeros and ones, with the interval of Wilson (1927).

  Where all values agree the bootstrap and Student's interval have no width; this one has.

  Args:
    values: [n] zeros and ones.
    level: probability that the interval covers the share.

  Raises:
    ValueError: there is no value, or one is neither 0 nor 1.
  """
  values = _per_user(np.ravel(values))
  if not np.isin(values, (0, 1)).all():
    raise ValueError('a share is of zeros and ones')
  share, n = float(values.mean()), values.size
  z = float(scipy.special.ndtri((1 + level) / 2))
  centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
  half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
  # Rounding would leave the ends a hair inside of shares of 0 and 1.
  low, high = min(centre - half, share), max(centre + half, share)
  return Estimate(share, low, high, n)


def ratio_interval(
  numerator: ArrayLike, denominator: ArrayLike, *, level: float = 0.95
) -> Estimate:
  """sum(numerator) / sum(denominator) over n independent units, with the linearised interval.

  Cochran (1977), Sampling Techniques, chapter 6: the ratio varies like the mean of
  (numerator - ratio * denominator) / mean(denominator).

  Args:
    numerator: [n], such as the reward in each block of rounds.
    denominator: [n], such as the rounds that count in it; not all 0.
    level: probability that the interval covers the ratio.

  Returns:
    The estimate; its ends are NaN for n = 1.
  """
  ratio, residual = _linearised(numerator, denominator)
  half = float(t_half_width(residual, level=level))
  return Estimate(ratio, ratio - half, ratio + half, len(residual))


def ratio_difference(
  ratio: tuple[ArrayLike, ArrayLike],
  baseline: tuple[ArrayLike, ArrayLike],
  *,
  level: float = 0.95,
) -> Estimate:
  """One ratio minus another, paired by unit; see `ratio_interval`.

  Args:
    ratio: numerator and denominator, [n] each.
    baseline: the same of what is subtracted.
    level: probability that the interval covers the difference.
  """
  (value, residual), (other, other_residual) = _linearised(*ratio), _linearised(*baseline)
  half = float(t_half_width(residual - other_residual, level=level))
  return Estimate(value - other, value - other - half, value - other + half, len(residual))


def t_half_width(values: ArrayLike, *, level: float = 0.95) -> np.ndarray:
  """Half of Student's interval for means over the first axis, [n, ...] -> [...]; NaN for n = 1."""
  values = np.asarray(values, np.float64)
  n = values.shape[0]
  if n == 1:
    return np.full(values.shape[1:], np.nan)
  return scipy.special.stdtrit(n - 1, (1 + level) / 2) * values.std(0, ddof=1) / np.sqrt(n)


def _linearised(numerator: ArrayLike, denominator: ArrayLike) -> tuple[float, np.ndarray]:
  """The ratio of the sums, and [n] of mean 0 whose mean varies like it."""
  numerator, denominator = (np.asarray(x, np.float64) for x in (numerator, denominator))
  ratio = numerator.sum() / denominator.sum()
  return float(ratio), (numerator - ratio * denominator) / denominator.mean()


def _per_user(values: ArrayLike) -> np.ndarray:
  """[n] float64, averaged over a leading axis of seeds where there is one."""
  values = np.asarray(values, np.float64)
  if values.ndim not in (1, 2) or values.size == 0:
    raise ValueError(f'expected values [n] or [S, n], not empty, got {values.shape}')
  if not np.isfinite(values).all():
    bad = np.count_nonzero(~np.isfinite(values))
    raise ValueError(f'{bad} of {values.size} values are not finite; leave those users out')
  return values if values.ndim == 1 else values.mean(0)


def _resampled_means(key: jax.Array, centred: np.ndarray, resamples: int) -> np.ndarray:
  """[resamples, m] means of n draws with replacement of the rows of [n, m].

  Centred and scaled values lose nothing to float32, however large the offset they had.
  """
  scale = np.maximum(np.abs(centred).max(0), np.finfo(np.float64).tiny)
  keys = jax.random.split(key, resamples)
  chunk = min(max(1, CHUNK_SIZE // centred.size), resamples)
  means = _mean_of_draws(keys, jnp.asarray(centred / scale, jnp.float32), chunk)
  return scale * np.asarray(means, np.float64)


@functools.partial(jax.jit, static_argnames='chunk')
def _mean_of_draws(keys: jax.Array, values: jax.Array, chunk: int) -> jax.Array:
  def one(key: jax.Array) -> jax.Array:
    n = values.shape[0]
    return values[jax.random.randint(key, (n,), 0, n)].mean(0)

  # A key for each resample, so that the draws do not depend on the size of a chunk.
  return jax.lax.map(one, keys, batch_size=chunk)
