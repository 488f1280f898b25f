"""Columns of a user's table, read strictly: what cannot be read is one line that names the row.

Rows are counted from 1, the header of a CSV file not included.
"""

import os
import re

import numpy as np
import polars as pl

from rec_jax.types import InputError

# A time as a number is in seconds, milliseconds, microseconds or nanoseconds since 1970. The
# median decides for the whole column: these limits are the year 5138 in the finer unit's
# neighbour and 1973 in the coarser one, so that no plausible date is read in the wrong unit.
_MICROSECONDS_PER_UNIT = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (float('inf'), 1e-3))
# Microseconds, from the year 5 to 5138; what is beyond is not a date but a mistake.
_EARLIEST_TIME, _LATEST_TIME = -6.2e16, 1e17
_DATE_FORMATS = (
  '%Y-%m-%d %H:%M:%S%.f',
  '%Y-%m-%d %H:%M:%S%.f%z',
  '%Y-%m-%d',
  '%Y%m%d',
  '%Y-%m-%d %H:%M',
  '%Y-%m-%d %H:%M%z',
)
_TIME_REMEDY = 'give seconds since 1970 or dates like 1997-09-20 03:05:10'


def scan(path: str, field: str) -> pl.LazyFrame:
  """Opens a CSV or Parquet file; every CSV column is read as strings.

  Args:
    path: the file.
    field: the config field that named it, for the error.

  Raises:
    InputError: no path, no such file, or an extension other than .csv and .parquet.
  """
  if not path:
    raise InputError(f'no {field} file given; set --config.data.{field}=FILE (CSV or Parquet)')
  extension = os.path.splitext(path)[1].lower()
  if extension not in ('.csv', '.parquet'):
    raise InputError(f'{path}: unknown extension "{extension}"; give a .csv or .parquet file')
  if not os.path.isfile(path):
    raise InputError(f'{path}: no such file; check --config.data.{field}')
  if extension == '.parquet':
    return pl.scan_parquet(path, glob=False)
  return pl.scan_csv(path, infer_schema=False, glob=False)


def names(lazy: pl.LazyFrame, path: str) -> list[str]:
  """The columns that the file has."""
  try:
    return lazy.collect_schema().names()
  except (pl.exceptions.PolarsError, OSError) as error:
    raise _unreadable(path, error) from error


def require(column: str, found: list[str], path: str, field: str) -> None:
  """Stops with the list of columns when `column` is not among them."""
  if len(found) == 1 and column in re.split('[;|\t]', found[0]):
    raise InputError(f'{path}: columns are not separated by commas; write it again with commas')
  if column not in found:
    raise InputError(
      f'{path}: no column "{column}" among {shown(*found)}; '
      f'name yours with --config.data.{field}=COLUMN'
    )


def collect(lazy: pl.LazyFrame, columns: list[str], path: str) -> pl.DataFrame:
  """Reads some columns of a file that holds at least one row."""
  try:
    frame = lazy.select(columns).collect()
  except (pl.exceptions.PolarsError, OSError) as error:
    raise _unreadable(path, error) from error
  if frame.is_empty():
    raise InputError(f'{path}: the table has no rows; give a file with data')
  return frame


def ids(series: pl.Series, path: str) -> pl.Series:
  """Ids as strings, from strings or whole numbers; none may be empty."""
  if series.dtype.is_float():
    # A column of integers with one gap becomes floats in many tools: 7.0 is the id "7".
    whole = series.cast(pl.Int64, strict=False)
    fraction = (whole.cast(pl.Float64) != series.cast(pl.Float64)).fill_null(False)
    _stop_at(fraction, series, path, 'is not an id', 'use strings or whole numbers')
    series = whole
  elif not (series.dtype.is_integer() or series.dtype in _STRINGS or series.dtype == pl.Null):
    raise InputError(
      f'{path}: column "{series.name}" holds {series.dtype}, not ids; use strings or whole numbers'
    )
  series = series.cast(pl.String)
  empty = (series.str.strip_chars() == '').fill_null(True)
  _stop_at(empty, series, path, 'is an empty id', 'fill it or remove the row')
  return series


def times(series: pl.Series, path: str) -> pl.Series:
  """Times in microseconds since 1970 (UTC where no zone is given), int64.

  Numbers may be in seconds, milliseconds, microseconds or nanoseconds: the magnitude of the
  median decides for the whole column. Dates are ISO 8601 (also with slashes, year first); numbers
  like 19970920 are dates as well, where at least half of the column is.
  """
  if series.dtype == pl.Date or series.dtype == pl.Datetime:
    parsed = series.cast(pl.Datetime('us')).cast(pl.Int64)
  elif series.dtype in _STRINGS:
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
  _stop_at(parsed.is_null(), series, path, 'is not a time', _TIME_REMEDY)
  return parsed.alias(series.name)


def numbers(series: pl.Series, path: str) -> pl.Series:
  """Finite numbers as float32."""
  text = series.str.strip_chars() if series.dtype == pl.String else series
  if not (series.dtype.is_numeric() or series.dtype in (*_STRINGS, pl.Boolean, pl.Null)):
    raise InputError(
      f'{path}: column "{series.name}" holds {series.dtype}, not numbers; convert it'
    )
  parsed = text.cast(pl.Float64, strict=False).cast(pl.Float32)
  bad = ~parsed.is_finite().fill_null(False)
  _stop_at(bad, series, path, 'is not a finite number', 'correct it or remove the row')
  return parsed


def texts(series: pl.Series, path: str) -> pl.Series:
  """Cells as strings with single spaces; lists of strings are joined by commas."""
  if series.dtype == pl.List(pl.String):
    series = series.list.join(', ', ignore_nulls=True)
  if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
    raise InputError(f'{path}: column "{series.name}" holds {series.dtype}, not text; convert it')
  return series.cast(pl.String).str.replace_all(r'\s+', ' ').str.strip_chars()


def is_text(series: pl.Series) -> bool:
  """True for strings that are not all numbers (a CSV file has only strings), or lists of them."""
  if series.dtype not in _STRINGS:
    return series.dtype == pl.List(pl.String)
  text = series.cast(pl.String).str.strip_chars()
  text = text.filter((text != '').fill_null(False))
  return text.cast(pl.Float64, strict=False).null_count() > 0


def first_row(mask: pl.Series) -> int | None:
  """The first row that is True, counted from 1."""
  index = mask.arg_true()
  return int(index[0]) + 1 if len(index) else None


def shown(*values: object) -> str:
  """Values from a file as they fit in one line of a message."""
  return ', '.join(' / '.join(str(value).splitlines())[:80] for value in values)


_STRINGS = (pl.String, pl.Categorical, pl.Enum)


def _times_of_numbers(series: pl.Series) -> pl.Series:
  value = series.cast(pl.Float64, strict=False)
  value = value.set(~value.is_finite().fill_null(False), None)
  # As seconds, three weeks of August 1970; few numbers of a counter there are dates.
  if 0 < value.count() <= 2 * value.is_between(19_000_101, 21_001_231).sum():
    dates = _times_of_dates(value.cast(pl.Int64, strict=False).cast(pl.String))
    if 2 * dates.count() >= value.count():
      return dates
  finite = value.drop_nulls().abs().to_numpy()
  magnitude = np.median(finite) if len(finite) else 0.0
  scale = next(scale for limit, scale in _MICROSECONDS_PER_UNIT if magnitude < limit)
  value = value * scale
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


def _stop_at(bad: pl.Series, series: pl.Series, path: str, what: str, remedy: str) -> None:
  row = first_row(bad)
  if row is not None:
    value = series[row - 1]
    cell = 'nothing' if value is None else f'"{shown(value)}"'
    raise InputError(f'{path}: column "{series.name}", row {row}: {cell} {what}; {remedy}')


def _unreadable(path: str, error: Exception) -> InputError:
  reason = str(error).strip().splitlines()[0]
  return InputError(
    f'{path}: cannot be read ({reason}); write it again as CSV in UTF-8 or as Parquet'
  )
