"""Logs as plain CSV: the columns of the Parquet log, with lists as JSON.

What is known of the items beyond the log is in a file beside it, `NAME.items.csv` for `NAME.csv`,
which may be absent: a row an item, `item_id` and, as JSON, its `action_context`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_jax import files
from rec_jax.data import table_files
from rec_jax.data.logged_feedback import PER_ROUND
from rec_jax.types import InputError

# Columns that hold a list in each row.
_OF_LISTS = (*PER_ROUND, 'candidates')
# Which Parquet holds as a type of their own.
_TRUE_AND_FALSE = {'true': '1', 'True': '1', 'false': '0', 'False': '0'}


def read(path: Path, flag: str) -> tuple[pl.DataFrame, dict[str, str]]:
  """The columns, numbers as text, and what is known of the items as the metadata of Parquet.

  Args:
    path: of the log.
    flag: that named it, for errors.

  Raises:
    InputError: one line with the file, the column and the first offending row, from 0.
  """
  frame = _text(path, flag, 'round')
  for name in _OF_LISTS:
    if name in frame.columns:
      frame = frame.with_columns(lists(str(path), frame[name]))
  if 'reward' in frame.columns:
    frame = frame.with_columns(pl.col('reward').replace(_TRUE_AND_FALSE))
  items = path.with_suffix('.items.csv')
  if not items.is_file():
    return frame, {}
  known = _text(items, flag, 'item_id')
  if 'item_id' not in known.columns:
    raise InputError(f'{items}: no column "item_id"; it has {", ".join(known.columns)}')
  metadata = {'item_ids': json.dumps(known['item_id'].to_list())}
  if 'action_context' in known.columns:
    column = lists(str(items), known['action_context'])
    metadata['action_context'] = json.dumps(column.to_list())
  return frame, metadata


def write(path: Path, frame: pl.DataFrame, metadata: dict[str, str]) -> None:
  """Writes what `read` gives back exactly; each of both files appears whole or not at all."""
  columns = [
    pl.Series(column.name, [json.dumps(row) for row in column.to_list()])
    if column.dtype.is_nested()
    else column
    for column in frame
  ]
  known: dict[str, list[Any]] = {'item_id': json.loads(metadata['item_ids'])}
  if 'action_context' in metadata:
    rows = json.loads(metadata['action_context'])
    known['action_context'] = [json.dumps(row) for row in rows]
  for target, table in (
    (path.with_suffix('.items.csv'), pl.DataFrame(known)),
    (path, pl.DataFrame(columns)),
  ):
    with files.replacing(target) as stream:
      # Quoted, so that an empty id is not taken for a row without one.
      table.write_csv(stream, quote_style='non_numeric')


def lists(source: str, column: pl.Series) -> pl.Series:
  """A column of text as the lists that it is in JSON.

  Raises:
    InputError: a row is no list of numbers or of strings, with the row.
  """
  found: list[list[Any]] = []
  for row, text in enumerate(column):
    try:
      value = json.loads(text or '')
      if not isinstance(value, list):
        raise ValueError
      np.asarray(value)  # of one shape
    except (ValueError, RecursionError) as error:
      raise InputError(
        f'{source}: column "{column.name}", row {row}: {text!r} is no list; give JSON, as [0.5, 2]'
      ) from error
    found.append(value)
  try:
    return pl.Series(column.name, found, strict=True)
  except (TypeError, pl.exceptions.PolarsError):
    # Whole numbers beside others, or something that is no number.
    try:
      return pl.Series(column.name, found, dtype=pl.List(pl.Float64), strict=False)
    except (TypeError, pl.exceptions.PolarsError) as error:
      raise InputError(
        f'{source}: column "{column.name}": rows are lists of different kinds; give numbers'
      ) from error


def _text(path: Path, flag: str, first: str) -> pl.DataFrame:
  table = table_files.scan(str(path), flag)
  for name in (first, *table.repeated):
    table_files.require_once(table, name)
  return table_files.collect(table, table.columns)
