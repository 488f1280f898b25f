"""Ids of a user's table as strings: two that are one are not read as two, nor two as one.

Tools turn ids into something else on the way to a file: into floats, which stand for several whole
numbers beyond 2^53; into the text "nan" where there was none; into "1.0" or "1 ". What can be
undone is undone, with a warning that counts the rows; what is lost is refused.
"""

import logging

import polars as pl

from rec_jax.data.columns import STRINGS, first_row, shown, stop_at
from rec_jax.types import InputError

# Whole numbers up to these have a float of their own.
_LARGEST = {'Float64': 2**53, 'Float32': 2**24, 'Float16': 2**11}
# What pandas, R, SQL and spreadsheets write for a missing value or a failed one, in lower case.
_MISSING = (
  *('nan', '-nan', 'nat', 'null', 'none', 'na', 'n/a', '#n/a', '<na>', '\\n', 'inf', '-inf'),
  *('#ref!', '#value!', '#div/0!', '#name?', '#num!', '#null!'),
)
# Arrays of strings are as wide as their longest.
_LONGEST = 1000
# White space and characters without width, which nobody sees.
_AROUND = r'^[\s\u{200b}-\u{200d}\u{feff}]+|[\s\u{200b}-\u{200d}\u{feff}]+$'
_REMEDY = 'use strings or whole numbers'

logger = logging.getLogger(__name__)


def read(series: pl.Series, path: str, *, may_be_empty: bool = False) -> pl.Series:
  """Ids as strings, from strings or whole numbers.

  Args:
    series: a column of the file.
    path: the file, for errors and warnings.
    may_be_empty: whether empty text is an id; a cell without text never is.

  Raises:
    InputError: a cell is empty, stands for a missing value or no longer tells ids apart.
  """
  if series.dtype.is_float():
    found = _of_floats(series, path)
  elif series.dtype in STRINGS:
    found = _of_text(series.cast(pl.String), path)
  elif series.dtype.is_integer() or series.dtype == pl.Null:
    found = series.cast(pl.String)
  else:
    raise InputError(f'{path}: column "{series.name}" holds {series.dtype}, not ids; {_REMEDY}')
  empty = found.is_null() if may_be_empty else (found == '').fill_null(True)
  stop_at(empty, series, path, 'is an empty id', 'fill it or remove the row')
  return found


def require_distinct(found: pl.Series, path: str, column: str, kind: str) -> None:
  """Raises InputError where an id of an item or a user, as `kind` says, is there a second time."""
  row = first_row(~found.is_first_distinct())
  if row is not None:
    raise InputError(
      f'{path}: column "{shown(column)}", row {row}: {kind} "{shown(found[row - 1])}" is there '
      f'already; keep one row of each {kind}'
    )


def _of_floats(series: pl.Series, path: str) -> pl.Series:
  # A column of integers with one gap becomes floats in many tools: 7.0 is the id "7".
  largest = _LARGEST[str(series.dtype)]
  numbers = series.cast(pl.Float64).fill_nan(None)
  inexact = (numbers.abs() >= largest).fill_null(False)
  what = f'is not an id: {series.dtype} tells no whole numbers from {largest} on apart'
  stop_at(inexact, series, path, what, _REMEDY)
  whole = numbers.cast(pl.Int64)
  fraction = (whole.cast(pl.Float64) != numbers).fill_null(False)
  stop_at(fraction, series, path, 'is not an id', _REMEDY)
  return whole.cast(pl.String)


def _of_text(series: pl.Series, path: str) -> pl.Series:
  # Arrays of strings lose it at the end, where it parts two ids.
  has_nul = series.str.contains('\0', literal=True).fill_null(False)
  stop_at(has_nul, series, path, 'holds a NUL character', 'remove it')
  too_long = (series.str.len_chars() > _LONGEST).fill_null(False)
  stop_at(too_long, series, path, f'is longer than {_LONGEST:,} characters', 'give shorter ids')
  text = series.str.replace_all(_AROUND, '').str.normalize('NFC')
  missing = text.str.to_lowercase().is_in(_MISSING).fill_null(False)
  stop_at(missing, series, path, 'stands for a missing id', 'fill it or remove the row')
  rounded = text.str.contains(r'^-?\d(\.\d+[eE]\+?|[eE]\+)\d+$').fill_null(False)
  stop_at(rounded, series, path, 'is a rounded number, not an id', _REMEDY)
  _warn(text != series, series, path, 'have spaces around them or accents set apart', text)
  return _without_decimals(text, path)


def _without_decimals(text: pl.Series, path: str) -> pl.Series:
  """Ids like 1.0 as 1, where all are whole numbers; else 1.0, 1.00 and 1 are not both there."""
  decimal = text.str.contains(r'^-?\d+\.0+$').fill_null(False)
  if not decimal.any():
    return text
  short = text.zip_with(~decimal, text.str.replace(r'\.0+$', ''))
  if not text.str.contains(r'^(-?\d+(\.0+)?)?$').fill_null(True).all():
    spelt = pl.DataFrame({'text': text, 'short': short}).unique(maintain_order=True)
    twin = decimal & short.is_in(spelt.filter(spelt['short'].is_duplicated())['short'].implode())
    row = first_row(twin)
    if row is not None:
      same = spelt.filter((spelt['short'] == short[row - 1]) & (spelt['text'] != text[row - 1]))
      what = f'is there as "{shown(same["text"][0])}" as well'
      stop_at(twin, text, path, what, 'write each id in one way')
    return text
  # Written from floats: beyond this they are rounded.
  inexact = decimal & (short.cast(pl.Float64, strict=False).abs() >= 2**53)
  stop_at(inexact, text, path, 'is a rounded number, not an id', _REMEDY)
  _warn(decimal, text, path, 'have decimals', short)
  return short


def _warn(odd: pl.Series, before: pl.Series, path: str, what: str, after: pl.Series) -> None:
  row = first_row(odd.fill_null(False))
  if row is not None:
    logger.warning(
      '%s: column "%s": %d of %d ids %s: they are read without (row %d: "%s" as "%s")',
      *(path, before.name, odd.sum(), len(odd), what, row),
      *(shown(before[row - 1]), shown(after[row - 1])),
    )
