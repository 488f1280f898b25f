"""Columns of a user's table, read strictly: what cannot be read is one line that names the row.

Rows are counted from 1, the header of a CSV file not included.
"""

import logging
from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl

from rec_jax.types import InputError

# Between the values of one cell of text.
_SEPARATOR = '|'
# Types of a column of text.
STRINGS = (pl.String, pl.Categorical, pl.Enum)
# A time as a number is in seconds, milliseconds, microseconds or nanoseconds since 1970. The
# median decides for the whole column: these limits are the year 5138 in the finer unit's
# neighbour and 1973 in the coarser one, so that no plausible date is read in the wrong unit.
_MICROSECONDS_PER_UNIT = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (float('inf'), 1e-3))
# Microseconds, from the year 5 to 5138; what is beyond is not a date but a mistake.
_EARLIEST_TIME, _LATEST_TIME = -6.2e16, 1e17
# Microseconds, 30 years: data sets span less.
_FAR = 9.5e14
_DATE_FORMATS = (
  '%Y-%m-%d %H:%M:%S%.f',
  '%Y-%m-%d %H:%M:%S%.f%z',
  '%Y-%m-%d',
  '%Y%m%d',
  '%Y%m%d%H%M%S',
  '%Y-%m-%d %H:%M',
  '%Y-%m-%d %H:%M%z',
)
# Numbers that are dates where at least half of a column is: as seconds the former are weeks of
# August 1970, where few numbers of a counter are dates, and the latter come after the year 2600.
_DATES_AS_NUMBERS = ((19_000_101, 21_001_231), (19_900_101_000_000, 21_001_231_235_959))
# Microseconds, 1990 to 2100: a column that lies outside was hardly meant so.
_USUAL = (631_152_000_000_000, 4_102_444_800_000_000)
_TIME_REMEDY = 'give seconds since 1970 or dates like 1997-09-20 03:05:10'

logger = logging.getLogger(__name__)


def times(series: pl.Series, path: str) -> pl.Series:
  """Times in microseconds since 1970 (UTC where no zone is given), int64.

  Numbers may be in seconds, milliseconds, microseconds or nanoseconds: the magnitude of the
  median decides for the whole column. Dates are ISO 8601 (also with slashes, year first); numbers
  like 19970920 and 19970920030510 are dates as well, where at least half of the column is.
  """
  if series.dtype == pl.Date or series.dtype == pl.Datetime:
    parsed = series.cast(pl.Datetime('us')).cast(pl.Int64)
  elif series.dtype in STRINGS:
    text = series.cast(pl.String).str.strip_chars()
    present = text.filter((text != '').fill_null(False)).head(1)
    is_number = present.cast(pl.Float64, strict=False).null_count() == 0
    parsed = _times_of_numbers(text) if is_number else _times_of_dates(text)
  elif series.dtype.is_numeric() or series.dtype == pl.Null:
    parsed = _times_of_numbers(series)
  else:
    raise InputError(
      f'{path}: column "{series.name}" holds {series.dtype}, not times; {_TIME_REMEDY}'
    )
  stop_at(parsed.is_null(), series, path, 'is not a time', _TIME_REMEDY)
  _warn_of_far_times(parsed, series, path)
  _warn_of_unusual_times(parsed, path)
  return parsed.alias(series.name)


def is_date_as_number(number: float) -> bool:
  """Whether a number is written as a date, like 19970920 and 19970920030510: see `times`."""
  return any(first <= number <= last for first, last in _DATES_AS_NUMBERS)


def microseconds_per_unit(magnitude: float) -> float:
  """Of times that are numbers as large as `magnitude`, which is finite: see `times`.

  >>> [microseconds_per_unit(each) for each in (1.7e9, 1.7e12, 1.7e15, 1.7e18)]
  [1000000.0, 1000.0, 1.0, 0.001]
  """
  return next(scale for limit, scale in _MICROSECONDS_PER_UNIT if magnitude < limit)


def numbers(series: pl.Series, path: str, *, may_be_empty: bool = False) -> pl.Series:
  """Finite numbers as float32; with `may_be_empty` null where a cell is empty."""
  if not (series.dtype.is_numeric() or series.dtype in (*STRINGS, pl.Boolean, pl.Null)):
    raise InputError(
      f'{path}: column "{series.name}" holds {series.dtype}, not numbers; convert it'
    )
  is_text = series.dtype in STRINGS
  text = series.cast(pl.String).str.strip_chars() if is_text else series
  parsed = text.cast(pl.Float64, strict=False).cast(pl.Float32)
  bad, remedy = ~parsed.is_finite().fill_null(False), 'correct it or remove the row'
  if may_be_empty:
    bad &= ~((text == '').fill_null(True) if is_text else series.is_null())
    remedy = 'correct it or leave the cell empty'
  stop_at(bad, series, path, 'is not a finite number', remedy)
  return parsed


def texts(series: pl.Series, path: str) -> pl.Series:
  """Cells as strings with single spaces; lists of strings are joined by commas."""
  if series.dtype == pl.List(pl.String):
    series = series.list.join(', ', ignore_nulls=True)
  if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
    raise InputError(f'{path}: column "{series.name}" holds {series.dtype}, not text; convert it')
  return series.cast(pl.String).str.replace_all(r'\s+', ' ').str.strip_chars()


def several(series: pl.Series, path: str) -> pl.Series:
  """Lists of the values of each cell, which is a list or text parted by '|', without empty ones."""
  if series.dtype != pl.List(pl.String):
    series = texts(series, path).fill_null('').str.split(_SEPARATOR)
  stripped = pl.element().str.strip_chars()
  return series.fill_null([]).list.eval(stripped.filter(stripped != ''))


def cell_values(given: Any) -> tuple[str, ...]:
  """What a caller says of a cell, one value or a collection of them, without those of None.

  >>> cell_values('red'), cell_values(3), cell_values(['red', None, 'old']), cell_values(None)
  (('red',), ('3',), ('red', 'old'), ())
  """
  several = given if isinstance(given, Collection) and not isinstance(given, str) else [given]
  return tuple(str(each) for each in several if each is not None)


def is_text(series: pl.Series) -> bool:
  """True for strings that are not all numbers (a CSV file has only strings), or lists of them."""
  if series.dtype not in STRINGS:
    return series.dtype == pl.List(pl.String)
  text = series.cast(pl.String).str.strip_chars()
  text = text.filter((text != '').fill_null(False))
  return text.cast(pl.Float64, strict=False).null_count() > 0


def first_row(mask: pl.Series) -> int | None:
  """The first row that is True, counted from 1."""
  index = mask.arg_true()
  return int(index[0]) + 1 if len(index) else None


def stop_at(bad: pl.Series, series: pl.Series, path: str, what: str, remedy: str) -> None:
  """Raises InputError at the first row that is True, with its cell and what to do about it."""
  row = first_row(bad)
  if row is not None:
    value = series[row - 1]
    cell = 'nothing' if value is None else f'"{shown(value)}"'
    raise InputError(f'{path}: column "{series.name}", row {row}: {cell} {what}; {remedy}')


def shown(*values: object) -> str:
  """Values from a file as they fit in one line of a message."""
  return ', '.join(printable(' / '.join(str(value).splitlines())[:80]) for value in values)


def printable(text: str) -> str:
  """Text whose control characters and broken bytes do not reach a terminal."""
  return ''.join(c if c.isprintable() else '\N{REPLACEMENT CHARACTER}' for c in text)


def _warn_of_far_times(parsed: pl.Series, series: pl.Series, path: str) -> None:
  """The cut is a time: zeros that stand for missing times, or other units, would move it."""
  middle = np.median(parsed.to_numpy())
  far = (parsed - int(middle)).abs() > _FAR
  row = first_row(far)
  if row is not None:
    logger.warning(
      '%s: column "%s": %d of %d times lie more than 30 years from the median (row %d: "%s"): '
      'mend them if they are in another unit or stand for missing times',
      *(path, series.name, far.sum(), len(far), row, shown(series[row - 1])),
    )


def _warn_of_unusual_times(parsed: pl.Series, path: str) -> None:
  """Such as days since 1970, years and serial numbers of spreadsheets, read as seconds."""
  if len(parsed) and not parsed.is_between(*_USUAL).any():
    dates = parsed.cast(pl.Datetime('us')).dt.to_string('%Y-%m-%d %H:%M:%S')
    logger.warning(
      '%s: column "%s": times are read as %s to %s: unless that is when it was, they are good for '
      'order alone; %s',
      *(path, parsed.name, dates.min(), dates.max(), _TIME_REMEDY),
    )


def _times_of_numbers(series: pl.Series) -> pl.Series:
  value = series.cast(pl.Float64, strict=False)
  value = value.set(~value.is_finite().fill_null(False), None)
  for first, last in _DATES_AS_NUMBERS:
    if 0 < value.count() <= 2 * value.is_between(first, last).sum():
      dates = _times_of_dates(value.cast(pl.Int64, strict=False).cast(pl.String))
      if 2 * dates.count() >= value.count():
        return dates
  finite = value.drop_nulls().abs().to_numpy()
  magnitude = np.median(finite) if len(finite) else 0.0
  value = value * microseconds_per_unit(magnitude)
  return (
    value.set(~value.is_between(_EARLIEST_TIME, _LATEST_TIME).fill_null(True), None)
    .round()
    .cast(pl.Int64)
  )


def _times_of_dates(text: pl.Series) -> pl.Series:
  text = text.str.replace(r'(\d)T', '$1 ').str.replace_all('/', '-', literal=True)
  text = text.str.replace(r' ?(Z|UTC)$', '+0000').str.replace(r' ([+-]\d\d:?\d\d)$', '$1')
  text = text.str.replace(r'(:\S*[+-]\d\d)$', '${1}00')  # +02, as PostgreSQL writes zones
  parsed = pl.Series(text.name, [None] * len(text), dtype=pl.Int64)
  for form in _DATE_FORMATS:
    if parsed.null_count() == 0:
      break
    date = text.str.to_datetime(form, strict=False, time_unit='us')
    parsed = parsed.zip_with(parsed.is_not_null(), date.cast(pl.Int64))
  return parsed
