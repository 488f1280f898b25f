"""Logs that are tables, CSV or Parquet, and their ids: what tables of events refuse, these do."""

from pathlib import Path

import polars as pl

from rec_jax.data import ids, logged_csv, table_files
from rec_jax.types import InputError


def read(path: Path, flag: str) -> tuple[pl.DataFrame, dict[str, str]]:
  """The columns of a CSV or Parquet log, and the metadata of its items.

  Args:
    path: of the file.
    flag: that named it, for errors.

  Raises:
    InputError: as of `table_files.scan`, or there is no row.
  """
  if path.suffix.lower() == '.csv':
    return logged_csv.read(path, flag)
  if path.is_file() and path.suffix.lower() != '.parquet':
    raise InputError(
      f'{path}: unknown extension "{path.suffix}"; a log is .parquet, .csv, .npz (of OBP), or of '
      'Vowpal Wabbit: .dsjson, .vw or .vw.csv'
    )
  table = table_files.scan(str(path), flag)
  with table_files.reading(str(path)):
    return table_files.collect(table, table.columns), pl.read_parquet_metadata(path)


def ids_of(source: str, column: pl.Series) -> pl.Series:
  """Ids as strings, which may be empty; arguments and errors as of `ids.read`."""
  # Other columns of a log are counted from 0, as a dictionary is.
  return ids.read(column, f'{source} (rows from 1)', may_be_empty=True)


def item_ids(
  source: str, item: pl.Series, offered: pl.Series, known: list[str]
) -> tuple[pl.Series, pl.Series, list[str]]:
  """Ids of items as strings; what is undone is undone in all three, or they would not match.

  Args:
    source: what to call the log in messages.
    item: chosen, one a round.
    offered: the candidates of all rounds, one after another.
    known: all items in their order; empty where the log does not say.

  Returns:
    The same three; all items by their first row where the log does not say.
  """
  candidate = offered.unique(maintain_order=True)
  parts = [item, candidate, pl.Series(known, dtype=pl.String)]
  name = 'item_id, then candidates, each once' if len(candidate) else 'item_id'
  found = ids_of(source, pl.concat(parts).alias(name))
  clean = found[len(item) : len(item) + len(candidate)]
  named = found[len(found) - len(known) :] if known else found.unique(maintain_order=True)
  offered = offered.replace_strict(candidate, clean, return_dtype=pl.String)
  return found[: len(item)], offered, named.to_list()
