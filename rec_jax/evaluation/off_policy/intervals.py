"""Intervals for off-policy estimates: bootstrap, t, Hoeffding, empirical Bernstein, betting.

The first two are asymptotic and serve every estimator. The other three hold for any number of
rounds, need the range of what a round adds to the estimate, and do not serve self-normalised
estimators, which are no means. All of them are about the mean of the estimator: the bias of
clipping, of switching or of a reward model is not in them.
"""

import functools
from collections.abc import Mapping

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t, summed
from rec_jax.evaluation.off_policy.estimators import Terms, influence, reduce

RESAMPLES = 10_000
# Counts drawn at once: 2^22 of them take 16 MiB as float32, whatever the number of rounds.
CHUNK_SIZE = 1 << 22
# How many of the 256 values of a byte lie below the count 1, 2, 3, 4, 5.
THRESHOLDS = (93, 191, 234, 251, 255)
BISECTIONS = 40


def bootstrap(
  key: jax.Array,
  table: Mapping[str, Terms],
  *,
  cluster: ArrayLike | None = None,
  level: float = 0.95,
  resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
  """Percentile intervals; the rounds are resampled once for all estimators.

  The count of a round in a resample is drawn on its own (Chamandy et al. 2012), from the law
  (93, 98, 43, 17, 4, 1) / 256 on 0..5. Its mean and variance are those of a draw with replacement,
  both 1, and its third moment is 1.008 in place of 1, so it needs 8 random bits a count; any such
  law is valid (Praestgaard & Wellner 1993). Normalisers are resampled with the rest. Resamples in
  which nothing is left to divide by are left out.

  Args:
    key: typed key.
    table: name -> terms of n rounds, the same rounds for all.
    cluster: [n] which rounds belong together, such as those of a user: whole clusters are resampled
      (Davison & Hinkley 1997, section 3.8); if not given, rounds are.
    level: probability that each interval, by itself, covers.
    resamples: number of resamples.

  Returns:
    name -> the estimate, in the order of the table, with n the number of rounds or clusters; ends
    are NaN for n = 1, and where no resample has anything to divide by.
  """
  host = {name: _double(terms) for name, terms in table.items()}
  values = {name: float(reduce(terms)) for name, terms in host.items()}
  num_rounds = next(iter(host.values())).direct.shape[0]
  unit = np.arange(num_rounds) if cluster is None else np.unique(cluster, return_inverse=True)[1]
  num_units = int(unit.max()) + 1
  if num_units == 1:
    return {name: Estimate(value, np.nan, np.nan, 1) for name, value in values.items()}
  columns, layout = [np.ones(num_rounds)], {}
  for name, terms in host.items():
    added, layout[name] = _columns(terms, len(columns))
    columns += added
  if cluster is not None:
    columns = [np.asarray(np.bincount(unit, column), np.float64) for column in columns]
  scale = np.array([max(np.abs(column).max(), 1e-300) for column in columns])
  matrix = jnp.asarray(np.stack(columns, axis=1) / scale, jnp.float32)
  seeds = jax.random.bits(key, (resamples, 2), jnp.uint32)
  chunk = min(max(1, CHUNK_SIZE // num_units), resamples)
  totals = scale * np.asarray(_totals(seeds, matrix, chunk), np.float64)
  tails = [(1 - level) / 2, (1 + level) / 2]
  result = {}
  for name, value in values.items():
    shifts = _shifts(totals, *layout[name])
    known = shifts[np.isfinite(shifts)]
    low, high = value + np.quantile(known, tails) if known.size else (np.nan, np.nan)
    result[name] = Estimate(value, float(low), float(high), num_units)
  return result


def student(terms: Terms, *, cluster: ArrayLike | None = None, level: float = 0.95) -> Estimate:
  """`corrected_t` of the linearised values of the delta method, see `estimators.influence`.

  Args:
    terms: of n rounds.
    cluster: [n] which rounds belong together; if not given, none do.
    level: probability of covering.
  """
  return corrected_t(summed(np.asarray(influence(_double(terms))), cluster), level=level)


def sequence(
  weight: ArrayLike, reward: ArrayLike, least: float, largest: float, *, level: float = 0.95
) -> Estimate:
  """Confidence sequence of a policy's value without a largest weight (Waudby-Smith et al. 2022).

  Bets against a mean from below need values that are at least 0, and no bound above: weight times
  reward bounds the value from below, weight times what the reward lacks of the largest one does so
  from above, as weights average 1. Weights that were clipped average less and only widen it. The
  level holds for all n at once, whatever the policy that logs has learnt meanwhile.

  Args:
    weight: [n] importance weights, or less than these.
    reward: [n] in [least, largest].
    least: least possible reward.
    largest: largest possible reward.
    level: probability that all intervals, one after each round, hold the value.
  """
  weight, alpha = np.asarray(weight, np.float64), 1 - level
  unit = (_within(reward, least, largest) - least) / (largest - least)
  bottom, lacking = (
    _least_unrejected(values, _bets(values, alpha), alpha)
    for values in (weight * unit, weight * (1 - unit))
  )
  low, high = (least + (largest - least) * end for end in (bottom, 1 - lacking))
  return Estimate(float((weight * np.asarray(reward)).mean()), low, high, weight.size)


def hoeffding(values: ArrayLike, low: float, high: float, *, level: float = 0.95) -> Estimate:
  """Hoeffding's interval (1963, theorem 2) for the mean of values in [low, high].

  Args:
    values: [n] independent, in [low, high].
    low: least possible value.
    high: largest possible value, known beforehand.
    level: probability of covering.

  Returns:
    The estimate.

  Raises:
    ValueError: if a value is out of range, as for all intervals of a range here.
  """
  values = _within(values, low, high)
  half = (high - low) * np.sqrt(np.log(2 / (1 - level)) / (2 * values.size))
  return _around(values, half)


def empirical_bernstein(
  values: ArrayLike, low: float, high: float, *, level: float = 0.95
) -> Estimate:
  """Interval by the empirical variance (Maurer & Pontil 2009, theorem 4, on either side).

  Arguments as in `hoeffding`; narrower where the variance is small against the range.
  """
  values = _within(values, low, high)
  if values.size == 1:
    return Estimate(float(values[0]), low, high, 1)
  log_term = np.log(4 / (1 - level))
  half = np.sqrt(2 * values.var(ddof=1) * log_term / values.size)
  half += 7 * (high - low) * log_term / (3 * (values.size - 1))
  return _around(values, half)


def betting(values: ArrayLike, low: float, high: float, *, level: float = 0.95) -> Estimate:
  """Hedged capital interval (Waudby-Smith & Ramdas 2023, theorem 3): valid at any time.

  The level holds for all n at once, so the log may be looked at while it grows, and the interval
  at n lies within those before it. Depends on the order of the rows, which is that of time.
  Arguments as in `hoeffding`.
  """
  values = _within(values, low, high)
  unit = (values - low) / (high - low)
  bets = _bets(unit, 1 - level)
  # The capital against a mean of m falls in m, and the mirrored one does so in 1 - m.
  bottom = _least_unrejected(unit, bets, 1 - level)
  top = 1 - _least_unrejected(1 - unit, bets, 1 - level)
  spread = high - low
  return Estimate(float(values.mean()), low + spread * bottom, low + spread * top, values.size)


def _double(terms: Terms) -> Terms:
  return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), terms)


def _columns(terms: Terms, start: int) -> tuple[list[np.ndarray], tuple[int, int, int]]:
  """What has to be resampled, centred, and where: (direct, correction, normaliser), 0 for none."""
  normaliser = np.asarray(terms.normaliser)
  scale = normaliser.mean()
  correction = np.asarray(terms.correction) / scale
  residual = correction - correction.mean() * normaliser / scale
  direct = np.asarray(terms.direct) - np.mean(terms.direct)
  if (normaliser == 1).all():
    return [direct + residual], (start, 0, 0)
  return [direct, residual, normaliser / scale], (start, start + 1, start + 2)


def _shifts(totals: np.ndarray, direct: int, correction: int, normaliser: int) -> np.ndarray:
  """[resamples] by how much each differs from the estimate; column 0 holds the sum of counts."""
  with np.errstate(invalid='ignore', divide='ignore'):
    shift = totals[:, direct] / totals[:, 0]
    return shift + totals[:, correction] / totals[:, normaliser] if correction else shift


@functools.partial(jax.jit, static_argnames='chunk')
def _totals(seeds: jax.Array, matrix: jax.Array, chunk: int) -> jax.Array:
  """[resamples, m] sums of the rows of [n, m], each row as often as a resample counts it."""
  num_rounds = matrix.shape[0]
  counter = jnp.arange((num_rounds + 3) // 4, dtype=jnp.uint32)

  def counts(seed: jax.Array) -> jax.Array:
    # random.bits of 32 bits throws half of what threefry makes away; this is all of it.
    words = jax.extend.random.threefry_2x32(seed, counter)
    # Bytes and int8 sums keep 64 lanes busy.
    random = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:num_rounds]
    count = jnp.zeros(num_rounds, jnp.int8)
    for threshold in THRESHOLDS:
      count += (random >= threshold).astype(jnp.int8)
    return count.astype(jnp.float32)

  # A seed for each resample, so that the draws do not depend on the size of a chunk.
  def one(chunk_of_seeds: jax.Array) -> jax.Array:
    return jax.vmap(counts)(chunk_of_seeds) @ matrix

  padding = -seeds.shape[0] % chunk
  chunks = jnp.pad(seeds, ((0, padding), (0, 0))).reshape(-1, chunk, 2)
  return jax.lax.map(one, chunks).reshape(-1, matrix.shape[1])[: seeds.shape[0]]


def _within(values: ArrayLike, low: float, high: float) -> np.ndarray:
  values = np.asarray(values, np.float64)
  slack = 1e-6 * (high - low)
  if values.ndim != 1 or values.size == 0 or not low < high:
    raise ValueError(f'expected values [n] in [low, high], got {values.shape} in [{low}, {high}]')
  outside = ~((values >= low - slack) & (values <= high + slack))
  if outside.any():
    row = int(np.argmax(outside))
    raise ValueError(f'row {row}: {values[row]:.6g} is not in [{low:.6g}, {high:.6g}]')
  return np.clip(values, low, high)


def _around(values: np.ndarray, half: float) -> Estimate:
  mean = float(values.mean())
  return Estimate(mean, mean - float(half), mean + float(half), values.size)


def _bets(unit: np.ndarray, alpha: float) -> np.ndarray:
  """[n] predictable plug-in stakes of the paper: each from the rows before it only."""
  time = np.arange(1, unit.size + 1)
  mean = (0.5 + np.cumsum(unit)) / (time + 1)
  variance = (0.25 + np.cumsum((unit - mean) ** 2)) / (time + 1)
  before = np.concatenate([[0.25], variance[:-1]])
  return np.sqrt(2 * np.log(2 / alpha) / (before * time * np.log1p(time)))


def _least_unrejected(unit: np.ndarray, bets: np.ndarray, alpha: float) -> float:
  """The mean below which the capital once reached 2 / alpha, by bisection from below."""

  def rejected(mean: float) -> bool:
    stake = np.minimum(bets, 0.5 / mean) if mean > 0 else bets
    return bool(np.cumsum(np.log1p(stake * (unit - mean))).max() >= np.log(2 / alpha))

  low, high = 0.0, 1.0
  if not rejected(low):
    return low
  for _ in range(BISECTIONS):
    middle = (low + high) / 2
    low, high = (middle, high) if rejected(middle) else (low, middle)
  return low
