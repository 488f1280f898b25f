"""Files that are replaced whole, so that a process may be killed at any moment, and checksums."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, BinaryIO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
  """Opens a stream whose content takes the place of `path` when the block ends.

  A reader finds the file either as it was or whole; a block that raises leaves it as it was.
  """
  path = pathlib.Path(path)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    with temporary.open('wb') as stream:
      yield stream
      stream.flush()
      os.fsync(stream.fileno())
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_directory(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
  """Gives an empty directory's path; what is there when the block ends takes the place of `path`.

  A block that raises, or is killed, leaves nothing in `path` that was not there.
  """
  path = pathlib.Path(path)
  partial = path.with_name(f'.{path.name}.partial')
  shutil.rmtree(partial, ignore_errors=True)
  yield partial
  shutil.rmtree(path, ignore_errors=True)
  partial.rename(path)


def write_atomic(path: str | os.PathLike[str], content: str | bytes) -> None:
  """Replaces a file by this content, see `replacing`."""
  with replacing(path) as stream:
    stream.write(content.encode() if isinstance(content, str) else content)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
  """Replaces a file by JSON that is the same for the same value; NaN is refused."""
  write_atomic(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + '\n')


def sha256(path: str | os.PathLike[str]) -> str:
  """The checksum of a file, in hexadecimal digits."""
  with open(path, 'rb') as stream:
    return hashlib.file_digest(stream, 'sha256').hexdigest()
