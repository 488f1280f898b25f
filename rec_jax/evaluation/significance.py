"""Whether a difference could be chance: a paired permutation test, and p-values that hold together.

The test asks another question than the bootstrap: not how much a mean would change with other
users, but how often signs given to the differences of these users at random would yield a mean as
large. Where nothing differs, the p-value is at most a with probability at most a, for any n.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import jax
import numpy as np
from jax.typing import ArrayLike

# The least p-value is one in ten thousand.
RESAMPLES = 9_999
# Signs drawn at once take 32 MiB as float64.
_CHUNK_SIZE = 1 << 22


def paired_permutation(
  key: jax.Array, differences: ArrayLike, *, resamples: int = RESAMPLES
) -> np.ndarray:
  """Two-sided p-values of the mean differences being 0.

  The test of Fisher (1935), The Design of Experiments, section 21.

  Under the null hypothesis each difference is as likely with the other sign. All 2^n signs are
  tried where these are no more than the resamples; otherwise the p-value of a sample is
  (1 + as large) / (1 + resamples), which is never 0 (Phipson & Smyth 2010, equation 2).

  Args:
    key: typed key.
    differences: [n, m], of n users in m quantities; all have the same signs drawn.
    resamples: number of draws.

  Returns:
    [m] p-values; 1 where no user differs.

  Raises:
    ValueError: there is no user, or a difference is not finite.
  """
  differences = np.asarray(differences, np.float64)
  if differences.ndim != 2 or not len(differences) or not np.isfinite(differences).all():
    raise ValueError(f'expected finite differences [n, m], not empty, got {differences.shape}')
  # Users who do not differ in anything change no sum.
  differences = differences[differences.any(1)]
  n = len(differences)
  # Sums of the same numbers in another order are as large, whatever rounding says.
  least = np.abs(differences.sum(0)) - 1e-9 * np.abs(differences).sum(0)
  if n < 63 and 2**n <= resamples:
    return (np.abs(_all_signs(n) @ differences) >= least).mean(0)
  chunk = max(1, _CHUNK_SIZE // n)
  as_large = np.zeros(differences.shape[1])
  for start in range(0, resamples, chunk):
    signs = _random_signs(jax.random.fold_in(key, start), min(chunk, resamples - start), n)
    as_large += (np.abs(signs @ differences) >= least).sum(0)
  return (1 + as_large) / (1 + resamples)


def holm(p_values: Sequence[float]) -> list[float]:
  """P-values that hold for all hypotheses at once (Holm 1979), in the order given."""
  order = np.argsort(p_values, kind='stable')
  factors = len(p_values) - np.arange(len(p_values))
  stepped = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1)
  return np.asarray(stepped)[np.argsort(order)].tolist()


def holm_against_best(
  ordered: Sequence[str], p_value: Callable[[str, str], float]
) -> dict[str, float]:
  """P-values of each name against the best, corrected for all pairs.

  The best is chosen by the same values, so any pair might have been asked about: corrected for the
  pairs with the best alone they would promise too much.

  Args:
    ordered: names, the best first.
    p_value: of two names.

  Returns:
    name -> the corrected p-value, without the best.
  """
  pairs = list(combinations(ordered, 2))
  corrected = holm([p_value(*pair) for pair in pairs])
  return {other: p for (name, other), p in zip(pairs, corrected, strict=True) if name == ordered[0]}


def permutation_against_best(
  key: jax.Array, table: Mapping[str, ArrayLike], *, resamples: int = RESAMPLES
) -> tuple[str, dict[str, float]]:
  """The name with the largest mean, and how sure the others are behind it.

  Args:
    key: typed key.
    table: name -> [n], the same users in the same order.
    resamples: as in `paired_permutation`.

  Returns:
    (best, name -> p-value of `paired_permutation` corrected by `holm_against_best`).
  """
  values = {name: np.asarray(column, np.float64) for name, column in table.items()}
  ordered = sorted(values, key=lambda name: -values[name].mean())
  pairs = list(combinations(ordered, 2))
  if not pairs:
    return ordered[0], {}
  differences = np.stack([values[a] - values[b] for a, b in pairs], axis=1)
  raw = dict(zip(pairs, paired_permutation(key, differences, resamples=resamples), strict=True))
  return ordered[0], holm_against_best(ordered, lambda a, b: float(raw[a, b]))


def _all_signs(n: int) -> np.ndarray:
  """[2^n, n] of 1 and -1."""
  return 1.0 - 2.0 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)


def _random_signs(key: jax.Array, rows: int, n: int) -> np.ndarray:
  """[rows, n] of 1 and -1, a bit each."""
  words = np.asarray(jax.random.bits(key, (rows, -(-n // 8)), np.uint8))
  return 1.0 - 2.0 * np.unpackbits(words, axis=1, count=n)
