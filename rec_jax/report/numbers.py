"""How numbers are written: as many decimals as their interval justifies, the same down a column."""

import math
import statistics
from collections.abc import Sequence

from rec_jax.evaluation.intervals import Estimate

Cell = str | int | float | Estimate | None
MISSING = '\N{EN DASH}'
INFINITE = '\N{INFINITY}'
MAX_DECIMALS = 4
_TIME_UNITS = (('seconds', 1.0), ('milliseconds', 1e-3), ('microseconds', 1e-6))


def number(value: float | None, decimals: int | None = None, *, sign: bool = False) -> str:
  """One number with a typographic minus; integers and large numbers get thousands separators.

  Args:
    value: the number; None and NaN become a dash, and what is infinite the sign for that.
    decimals: digits after the point; three significant digits if None.
    sign: whether a positive number gets a plus, as differences do.

  Returns:
    The text.
  """
  if value is None or math.isnan(value):
    return MISSING
  if math.isinf(value):
    return INFINITE if value > 0 else f'\N{MINUS SIGN}{INFINITE}'
  if decimals is None:
    decimals = 0 if isinstance(value, int) else _decimals_for(abs(value), significant=3)
  text = f'{value:{"+" if sign else ""},.{decimals}f}'
  if float(text.replace(',', '')) == 0:
    text = text.lstrip('+-')
  return text.replace('-', '\N{MINUS SIGN}')


def interval(estimate: Estimate, decimals: int | None = None, *, sign: bool = False) -> str:
  """The interval as '[low, high]', or '[unknown]' where a single unit gives none."""
  if math.isnan(estimate.low):
    return '[unknown]'
  decimals = estimate_decimals(estimate) if decimals is None else decimals
  low, high = (number(end, decimals, sign=sign) for end in (estimate.low, estimate.high))
  return f'[{low}, {high}]'


def plain(cell: Cell, decimals: int | None = None, *, sign: bool = False) -> str:
  """A cell as one line of text: 'value [low, high]' for an estimate."""
  if isinstance(cell, str):
    return cell
  if isinstance(cell, Estimate):
    decimals = estimate_decimals(cell) if decimals is None else decimals
    return f'{number(cell.value, decimals, sign=sign)} {interval(cell, decimals, sign=sign)}'
  return number(cell, decimals, sign=sign)


def time_unit(seconds: Sequence[float]) -> tuple[str, float]:
  """The unit in which the longest of some times is at least 1, for all of them, and its seconds.

  >>> time_unit([0.52, 0.0008])
  ('milliseconds', 0.001)
  """
  longest = max(seconds)
  return next(((name, size) for name, size in _TIME_UNITS if longest >= size), _TIME_UNITS[-1])


def estimate_decimals(estimate: Estimate) -> int:
  """Decimals that half the width of the interval justifies.

  Two significant digits of it where they lie below 35, else one: the rule of the Particle Data
  Group for uncertainties.
  """
  half = (estimate.high - estimate.low) / 2
  if 0 < half < math.inf:
    two_digits = half / 10 ** (math.floor(math.log10(half)) - 1)
    return _decimals_for(half, significant=2 if two_digits < 35.5 else 1)
  known = (abs(number) for number in (estimate.value, estimate.low) if math.isfinite(number))
  return _decimals_for(next(known, math.nan), significant=3)


def column_decimals(cells: Sequence[Cell]) -> int | None:
  """One number of decimals for a column; None where it holds no estimate or float."""
  estimates = [estimate_decimals(cell) for cell in cells if isinstance(cell, Estimate)]
  floats = [_decimals_for(abs(cell), 3) for cell in cells if isinstance(cell, float)]
  needed = estimates or floats
  return statistics.median_high(needed) if needed else None


def shared_n(cells: Sequence[Cell]) -> int | None:
  """The n of all estimates of a column, or None where they differ or there are none."""
  counts = {cell.n for cell in cells if isinstance(cell, Estimate)}
  return counts.pop() if len(counts) == 1 else None


def _decimals_for(size: float, significant: int) -> int:
  if not math.isfinite(size) or size == 0:
    return significant - 1
  digits = significant - 1 - math.floor(math.log10(size))
  return min(max(digits, 0), MAX_DECIMALS)
