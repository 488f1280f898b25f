"""The files of a published data set: found by name below a folder, opened as rows, one-line errors.

Every file is read as a stream of which only some columns are kept.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from rec_jax.data import table_files
from rec_jax.data.columns import shown
from rec_jax.data.config import DataConfig
from rec_jax.types import InputError


class Published(NamedTuple):
  """A data set that is given out by its owners.

  Attributes:
    name: the official one.
    home: where it is to be had.
    licence: the terms under which it may be used.
    unnamed: the text of an item that the data set has no text of.
  """

  name: str
  home: str
  licence: str
  unnamed: str


def of_part(of: Published, *parts: str) -> Published:
  """The same data set, named with what was read of it, such as its size or a category."""
  return of._replace(name=f'{of.name} ({", ".join(parts)})')


def find_all(config: DataConfig, of: Published, patterns: Sequence[str]) -> list[Path]:
  """The files below the folder whose names match one of the patterns, in alphabetic order.

  Raises:
    InputError: no folder is given, or it is not there.
  """
  remedy = f'set --config.data.folder=DIR to that of {of.name}, from {of.home}'
  if not config.folder:
    raise InputError(f'no folder given; {remedy}')
  folder = Path(config.folder)
  if not folder.is_dir():
    raise InputError(f'{config.folder}: no such folder; {remedy}')
  return sorted({path for pattern in patterns for path in folder.rglob(pattern)})


def find_events(
  config: DataConfig, of: Published, patterns: Sequence[str], what: str
) -> list[Path]:
  """Files of events, or of several that one which `config.interactions` names.

  Args:
    config: names the folder.
    of: the data set.
    patterns: of names.
    what: the files are called in an error.

  Raises:
    InputError: there is none, or one is empty.
  """
  found = find_all(config, of, patterns)
  folder, chosen = Path(config.folder), config.interactions
  if chosen:
    exact = [path for path in found if path == folder / chosen]
    found = exact or [path for path in found if path.name == chosen]
  if not found:
    raise missing(folder, chosen or what, of)
  return [opened(path) for path in found]


def find_event_file(config: DataConfig, of: Published, patterns: Sequence[str], what: str) -> Path:
  """The same where only one file is read at a time.

  Raises:
    InputError: as there, or there is more than one to choose from.
  """
  found = find_events(config, of, patterns, what)
  if len(found) > 1:
    folder = Path(config.folder)
    names = shown(*(path.relative_to(folder) for path in found))
    raise InputError(
      f'{folder}: several files of events: {names}; name one by --config.data.interactions=FILE'
    )
  return found[0]


def beside(path: Path, name: str, of: Published) -> Path:
  """A file in the folder of another.

  Raises:
    InputError: it is not there, or empty.
  """
  if not (path.parent / name).exists():
    raise missing(path.parent, name, of)
  return opened(path.parent / name)


def opened(path: Path) -> Path:
  """The path of a file that can be read and holds something, else InputError."""
  table_files.first_bytes(str(path), 'config.data.folder')
  return path


def missing(folder: Path, name: str, of: Published) -> InputError:
  """The error of a file that is not there."""
  return InputError(
    f'{folder}: no {name}; give the unpacked folder of {of.name}, from {of.home}, by '
    '--config.data.folder=DIR'
  )


def scan_csv(path: Path, of: Published, columns: Sequence[str]) -> pl.LazyFrame:
  """The rows of a CSV file with a header, packed by gzip or not: all its columns as strings.

  Args:
    path: the file.
    of: the data set.
    columns: that it must have.

  Returns:
    source_row (from 1, without the header) and the columns.

  Raises:
    InputError: it has not these columns.
  """
  with reading(path, of):
    lazy = pl.scan_csv(path, infer_schema=False, glob=False)
    found = lazy.collect_schema().names()
  require(path, of, columns, found)
  return lazy.select(columns).with_row_index('source_row', offset=1)


def scan_tsv(path: Path, of: Published, columns: Sequence[str]) -> pl.LazyFrame:
  """The same of a file without header, columns set apart by tabs, where quotes are text.

  Raises:
    InputError: it has another number of columns.
  """
  with reading(path, of):
    lazy = pl.scan_csv(
      path, separator='\t', has_header=False, quote_char=None, infer_schema=False, glob=False
    )
    found = lazy.collect_schema().names()
  if len(found) != len(columns):
    raise InputError(
      f'{path}: {len(found)} columns set apart by tabs, not {len(columns)} ({", ".join(columns)}); '
      f'give that of {of.name}'
    )
  names = dict(zip(found, columns, strict=True))
  return lazy.rename(names).with_row_index('source_row', offset=1)


def scan_lines(path: Path, of: Published) -> pl.LazyFrame:
  """The lines of a text file: source_row (from 1) and line."""
  with reading(path, of):
    # No line holds this separator.
    lines = pl.scan_csv(
      path,
      separator='\x01',
      has_header=False,
      quote_char=None,
      infer_schema=False,
      glob=False,
      new_columns=['line'],
    )
    lines.collect_schema()
  return lines.with_row_index('source_row', offset=1)


def scan_json(
  path: Path, of: Published, schema: Mapping[str, type[pl.DataType] | pl.DataType]
) -> pl.LazyFrame:
  """Some fields of a file of one JSON object a line, packed by gzip or not; absent ones are null.

  Returns:
    source_row (from 1) and the fields.
  """
  with reading(path, of):
    lazy = pl.scan_ndjson(path, schema=schema)
    lazy.collect_schema()
  return lazy.with_row_index('source_row', offset=1)


def scan_parquet(path: Path, of: Published, columns: Sequence[str]) -> pl.LazyFrame:
  """Some columns of a Parquet file, and source_row (from 1).

  Raises:
    InputError: it has not these columns.
  """
  with reading(path, of):
    lazy = pl.scan_parquet(path, glob=False)
    found = lazy.collect_schema().names()
  require(path, of, columns, found)
  return lazy.select(columns).with_row_index('source_row', offset=1)


def require(path: Path, of: Published, columns: Sequence[str], found: Sequence[str]) -> None:
  """Stops where a column of a published file is not there."""
  for column in columns:
    if column not in found:
      raise InputError(
        f'{path}: no column "{column}" among {shown(*found)}; give that of {of.name}, from '
        f'{of.home}'
      )


@contextlib.contextmanager
def reading(path: Path, of: Published) -> Iterator[None]:
  """Turns what the reader raises into one line."""
  try:
    yield
  except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
    reason = shown(re.split(r'[\n;]', str(error).strip())[0])
    raise InputError(
      f'{path}: cannot be read ({reason}); get it anew from {of.home} ({of.name})'
    ) from error
