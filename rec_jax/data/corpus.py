"""Unlabelled text in a user's own files, read as a stream: a few pieces of it are held at once.

Of `.txt` every line is a text; `.csv` and `.parquet` have one in each row of the column `text`.
Texts without a visible character are left out.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from rec_jax.data import table_files
from rec_jax.data.columns import printable, shown
from rec_jax.types import InputError

FLAG = 'config.pretrain.corpus'
COLUMN = 'text'
# Characters that are read of a text at once: a file without line ends comes in pieces of so many.
PIECE = 1 << 16
# Rows of a table that are read at once.
_ROWS = 4096


def paths(pattern: str, flag: str = FLAG) -> list[str]:
  """The files of a corpus, in the order of their names.

  Args:
    pattern: a file, or a pattern as of a shell; `**` stands for folders of any depth.
    flag: that gave it, for errors.

  Raises:
    InputError: there is no such file, or one that is no regular file with a known extension.
  """
  matched = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern, recursive=True))
  found = [path for path in matched if not os.path.isdir(path)]
  if not found:
    what = 'a folder, not a file; give what is in it as DIR/*.txt' if matched else 'no such file'
    raise InputError(f'{printable(pattern)}: {what}; check --{flag}')
  for path in found:
    extension = os.path.splitext(path)[1].lower()
    head = table_files.first_bytes(path, flag)
    if extension not in _READERS:
      raise InputError(
        f'{printable(path)}: unknown extension "{printable(extension)}"; give .txt, .csv or '
        f'.parquet files by --{flag}'
      )
    known = table_files.known_format(head)
    if extension == '.txt' and known is not None:
      raise InputError(f'{path} is {known[0]}; {known[1]}')
  return found


def texts(files: Sequence[str], flag: str = FLAG) -> Iterator[str]:
  """The texts of files one after another; those longer than `PIECE` characters in pieces.

  Args:
    files: from `paths`.
    flag: that gave them, for errors.

  Raises:
    InputError: a file is not what its extension says, or there is no text in it.
  """
  for path in files:
    is_empty = True
    for text in _READERS[os.path.splitext(path)[1].lower()](path, flag):
      if text and not text.isspace():
        is_empty = False
        yield text
    if is_empty:
      raise InputError(f'{path}: there is no text in it; give files with text by --{flag}')


def batches(found: Iterable[str]) -> Iterator[list[str]]:
  """Lists of texts of about a megabyte of characters, in order."""
  batch: list[str] = []
  size = 0
  for text in found:
    batch.append(text)
    size += len(text)
    if size >= 16 * PIECE:
      yield batch
      batch, size = [], 0
  if batch:
    yield batch


def _lines(path: str, flag: str) -> Iterator[str]:
  """By line feeds and carriage returns alone: what else Unicode ends lines by is within texts."""
  del flag
  number = 0
  try:
    # A mark of the byte order is no text.
    with open(path, encoding='utf-8-sig') as stream:
      while line := stream.readline(PIECE):
        number += line.endswith('\n')
        yield line.rstrip('\n')
  except UnicodeDecodeError as error:
    # The reader is ahead of the lines that it has given.
    raise InputError(
      f'{path}: text that is not UTF-8 after line {number}; write it again in UTF-8'
    ) from error
  except OSError as error:
    raise InputError(f'{path}: cannot be read ({error.strerror})') from error


def _rows(path: str, flag: str) -> Iterator[str]:
  table = table_files.scan(path, flag)
  table_files.require_once(table, COLUMN)
  if COLUMN not in table.columns:
    raise InputError(
      f'{path}: no column "{COLUMN}" among {shown(*table.columns)}; give the one with the texts '
      'this name'
    )
  with table_files.reading(path):
    column = table.lazy.select(COLUMN)
    kind = column.collect_schema()[COLUMN]
    if kind not in (pl.String, pl.Categorical, pl.Null):
      raise InputError(f'{path}: column "{COLUMN}" holds {kind}; write it again as strings')
    for frame in column.cast(pl.String).collect_batches(chunk_size=_ROWS, lazy=True):
      for text in frame[COLUMN].drop_nulls():
        yield from (text[start : start + PIECE] for start in range(0, len(text), PIECE))


_READERS = {'.txt': _lines, '.csv': _rows, '.parquet': _rows}
