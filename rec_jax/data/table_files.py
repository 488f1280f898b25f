"""The files of a user's tables: what is no file, no table or no text is told by its name.

What a file is shows in its first bytes, whatever its name says. Bytes that are no text are never
printed.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from rec_jax.data.columns import printable, shown
from rec_jax.types import InputError

_HEAD_BYTES = 1 << 16
# UTF-32 before UTF-16, whose mark is the first half of its own.
_FORMATS = (
  (b'PAR1', 'a Parquet file', 'rename it to .parquet'),
  (b'PK\x03\x04', 'a zip archive or an Excel workbook', 'unpack it, or save its sheet as CSV'),
  (b'\xd0\xcf\x11\xe0', 'an Excel workbook', 'save its sheet as CSV'),
  (b'\xff\xfe\x00\x00', 'text in UTF-32', 'write it again in UTF-8'),
  (b'\x00\x00\xfe\xff', 'text in UTF-32', 'write it again in UTF-8'),
  (b'\xff\xfe', 'text in UTF-16', 'write it again in UTF-8'),
  (b'\xfe\xff', 'text in UTF-16', 'write it again in UTF-8'),
  (b'BZh', 'compressed by bzip2', 'unpack it'),
  (b'\xfd7zXZ', 'compressed by xz', 'unpack it'),
  (b'7z\xbc\xaf', 'a 7z archive', 'unpack it'),
  (b'ARROW1', 'an Arrow file', 'write it again as Parquet'),
  (b'SQLite format 3', 'an SQLite database', 'export its table as CSV'),
  (b'%PDF', 'a PDF document', 'give a table'),
)
# The reader unpacks these two by itself.
_COMPRESSED_CSV = (b'\x1f\x8b', b'\x28\xb5\x2f\xfd')


class TableFile(NamedTuple):
  """An open table.

  Attributes:
    path: of the file.
    lazy: its rows; every column of a CSV file is read as strings.
    columns: the names of its columns.
    repeated: those that the header has more than once.
  """

  path: str
  lazy: pl.LazyFrame
  columns: Sequence[str]
  repeated: Sequence[str]


def scan(path: str, flag: str) -> TableFile:
  """Opens a CSV or Parquet file and reads the names of its columns.

  Args:
    path: the file.
    flag: that named it, as `config.data.items`, for the error.

  Raises:
    InputError: no path, no file that may be read, or of another format than its extension says.
  """
  if not path:
    name = flag.rpartition('.')[2]
    raise InputError(f'no {name} file given; set --{flag}=FILE (CSV or Parquet)')
  head = first_bytes(path, flag)
  extension = os.path.splitext(path)[1].lower()
  if extension not in ('.csv', '.parquet'):
    raise InputError(f'{path}: unknown extension "{extension}"; give a .csv or .parquet file')
  if extension == '.parquet':
    _require_parquet(path, head)
    lazy = pl.scan_parquet(path, glob=False)
  else:
    _require_text(path, head)
    lazy = pl.scan_csv(path, infer_schema=False, glob=False)
  with reading(path):
    names = lazy.collect_schema().names()
    return TableFile(path, lazy, names, _repeated_in_header(path) if extension == '.csv' else ())


def require(table: TableFile, column: str, flag: str) -> None:
  """Stops with the list of columns when `column` is not among them, or is there twice."""
  require_once(table, column)
  if column not in table.columns:
    raise InputError(
      f'{table.path}: no column "{shown(column)}" among {shown(*table.columns)}; name yours with '
      f'--{flag}=COLUMN'
    )


def require_once(table: TableFile, column: str) -> None:
  """Stops when `column` is there twice, or hidden in a header without commas."""
  path, found = table.path, table.columns
  if column not in found and len(found) == 1 and column in re.split('[;|\t]', found[0]):
    raise InputError(f'{path}: columns are not separated by commas; write it again with commas')
  if column in table.repeated:
    raise InputError(
      f'{path}: there are several columns "{shown(column)}"; rename or remove all but one'
    )


def collect(table: TableFile, columns: Sequence[str]) -> pl.DataFrame:
  """Reads some columns of a file that holds at least one row."""
  with reading(table.path):
    frame = table.lazy.select(columns).collect()
  if frame.is_empty():
    raise InputError(f'{table.path}: the table has no rows; give a file with data')
  return frame


def first_bytes(path: str, flag: str) -> bytes:
  """The first bytes of a regular file that holds something.

  Raises:
    InputError: there is no such file, or it may not be read, or holds nothing.
  """
  try:
    mode = os.stat(path).st_mode
  except (FileNotFoundError, NotADirectoryError, ValueError) as error:
    is_link = isinstance(error, OSError) and os.path.islink(path)
    reason = 'a link to a file that is not there' if is_link else 'no such file'
    raise InputError(f'{printable(path)}: {reason}; check --{flag}') from error
  except OSError as error:
    raise _unopened(path, flag, error) from error
  if stat.S_ISDIR(mode):
    raise InputError(f'{path} is a directory; give the file in it by --{flag}')
  if not stat.S_ISREG(mode):
    raise InputError(f'{path} is a pipe or a device; write its content to a file and give that')
  try:
    with open(path, 'rb') as stream:
      head = stream.read(_HEAD_BYTES)
  except OSError as error:
    raise _unopened(path, flag, error) from error
  if not head.strip():
    raise InputError(f'{path} is empty; give a file with data by --{flag}')
  return head


def known_format(head: bytes) -> tuple[str, str] | None:
  """The format of a file and what to do about it, where its first bytes tell."""
  for magic, name, remedy in _FORMATS:
    if head.startswith(magic):
      return name, remedy
  return None


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
  """Turns what the reader raises into one line."""
  try:
    yield
  except pl.exceptions.DuplicateError as error:
    raise InputError(
      f'{path}: several columns have the same name; rename or remove all but one'
    ) from error
  except (pl.exceptions.PolarsError, OSError) as error:
    reason = shown(str(error).strip().splitlines()[0])
    raise InputError(
      f'{path}: cannot be read ({reason}); write it again as CSV in UTF-8 or as Parquet'
    ) from error


def _unopened(path: str, flag: str, error: OSError) -> InputError:
  """Such as a file of somebody else, or links in a circle: writing it again would not help."""
  return InputError(f'{path} cannot be opened ({error.strerror}); mend that or check --{flag}')


def _require_parquet(path: str, head: bytes) -> None:
  if not head.startswith(b'PAR1'):
    name, remedy = known_format(head) or ('not a Parquet file', 'rename it to .csv if it is one')
    raise InputError(f'{path} is {name}; {remedy}')


def _require_text(path: str, head: bytes) -> None:
  if head.startswith(_COMPRESSED_CSV):
    return
  header = re.split(b'[\r\n]', head, maxsplit=1)[0]
  found = known_format(head)
  if found is None and b'\0' in header:
    found = 'binary, or text in UTF-16', 'write it again as CSV in UTF-8'
  if found is None and not _is_utf_8(header):
    found = 'binary, or text in another encoding than UTF-8', 'write it again as CSV in UTF-8'
  if found is None and b'\r' in head and b'\n' not in head:
    found = 'text with the line ends of old Macs (CR alone)', 'write it again with LF or CRLF'
  if found is not None:
    raise InputError(f'{path} is {found[0]}; {found[1]}')


def _is_utf_8(line: bytes) -> bool:
  try:
    line.decode('utf-8')
  except UnicodeDecodeError:
    return False
  return True


def _repeated_in_header(path: str) -> list[str]:
  """Names that a CSV header has twice, which the reader gives others without a word."""
  lines = pl.scan_csv(
    path, has_header=False, infer_schema=False, glob=False, truncate_ragged_lines=True
  )
  named = [name for name in lines.head(1).collect().row(0) if name]
  return [name for name in dict.fromkeys(named) if named.count(name) > 1]
