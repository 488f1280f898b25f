"""Snapshots and a journal of what came after: a process may be killed at any moment.

A directory holds `snapshot-N` and `journal-N`, the events since, and belongs to one service at a
time. A new snapshot is written beside the old one and takes its place by a rename; an event is in
the journal before it is acknowledged. An event that was being written when the process ended is cut
off: nobody was told of it. Damage anywhere else is told apart by checksums and refused. Once an
event is applied a zero follows it, which the next event overwrites, so that of the last one it is
known whether anybody was told.
"""

import contextlib
import fcntl
import os
import pathlib
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from flax import serialization

from rec_jax import files
from rec_jax.types import InputError

VERSION = 3
_CHECKSUM = struct.Struct('<I')
# Length of an event and its checksum, and a checksum of these two: a length that is wrong would
# otherwise make all that follows look like the end.
_FRAME = struct.Struct('<II')


class Journal:
  """The open journal of a directory, which no other service has while it is open."""

  def __init__(self, lock: int, path: pathlib.Path, length: int, length_before: int):
    """Goes on after the first `length` bytes of `path`, `length_before` without the last event.

    `lock` is from `_locked`. What follows these bytes stays until `clear` or `take_back`.
    """
    self._is_open = False
    self.lock = lock
    self._path = path
    self._length, self._length_before = length, length_before
    self._owner = os.getpid()
    self._failure: Exception | None = None
    self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    self._is_open = True
    # What follows it is the mark of `tell`, or of an event that began after it was applied.
    self.is_last_told = os.fstat(self._descriptor).st_size > length

  def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    # At the end of the interpreter `os` may be gone already, and the system closes the files.
    if not is_finalizing():
      self.close()

  def write(self, event: dict[str, Any], *, sync: bool = False) -> None:
    """Appends an event, after which the process may be killed; with `sync` the machine as well.

    Raises:
      InputError: the journal is another process's, or an earlier event could not be written.
      OSError: the event could not be written; then it is not in the journal.
    """
    if os.getpid() != self._owner:
      raise InputError(f'{self._path}: open in the process that forked this one; decide there')
    if not self._is_open:
      raise InputError(f'{self._path}: the service is closed; load it again')
    if self._failure:
      raise InputError(
        f'{self._path}: an event was not written ({self._failure}); load the service again'
      )
    payload = serialization.msgpack_serialize(event)
    frame = memoryview(_head(payload) + payload)
    length = self._length + len(frame)
    try:
      while frame:
        frame = frame[os.write(self._descriptor, frame) :]
      if sync:
        os.fsync(self._descriptor)
    except BaseException as error:
      # Half an event must not stand before the next, nor a whole one that nobody was told of.
      try:
        self.clear()
      except OSError as failure:
        self._failure = failure
      if not frame and isinstance(error, OSError):
        # After a sync that failed nobody can say what is on the disk.
        self._failure = error
      raise
    self._length_before, self._length = self._length, length

  def tell(self) -> None:
    """The last event, just written, has been applied: somebody may be told of it now."""
    # It has happened, whether or not this can be noted.
    with contextlib.suppress(OSError):
      os.ftruncate(self._descriptor, self._length + 1)

  def clear(self) -> None:
    """Cuts off what follows the last event, which has been applied as all before it."""
    os.ftruncate(self._descriptor, self._length)
    os.lseek(self._descriptor, 0, os.SEEK_END)
    if self._length:
      self.tell()

  def take_back(self) -> None:
    """Cuts off the last event, of which nobody was told, for good."""
    self._length = self._length_before
    self.clear()
    os.fsync(self._descriptor)

  def fail(self, error: Exception) -> None:
    """Takes no more events: they would not be found."""
    self._failure = error

  def is_of(self, directory: pathlib.Path) -> bool:
    """Whether this is the journal of that directory."""
    return os.path.samestat(os.fstat(self.lock), os.stat(directory))

  def close(self, *, unlock: bool = True) -> None:
    """Lets go of the file and, with `unlock`, of the directory."""
    if not self._is_open:
      return
    self._is_open = False
    os.close(self._descriptor)
    if unlock:
      os.close(self.lock)


def save(
  directory: str | os.PathLike[str], content: dict[str, Any], opened: Journal | None
) -> Journal:
  """Writes the next snapshot, begins its journal and removes the ones before.

  Args:
    directory: made if it is not there.
    content: of the snapshot.
    opened: the journal until now, which is closed.

  Raises:
    InputError: another service has the directory, or there is a file in its place.
  """
  directory = pathlib.Path(directory)
  try:
    directory.mkdir(parents=True, exist_ok=True)
  except (FileExistsError, NotADirectoryError):
    raise InputError(f'{directory}: not a directory; give one') from None
  stays = opened is not None and opened.is_of(directory)
  lock = opened.lock if opened is not None and stays else _locked(directory)
  old = _numbers(directory)
  number = max(old, default=-1) + 1
  path = directory / f'snapshot-{number}'
  journal = None
  try:
    # First, since a snapshot without a journal open would leave later events with the one before.
    journal = Journal(lock, _journal(directory, number), 0, 0)
    # It may be there, of a process that was killed.
    journal.clear()
    body = serialization.msgpack_serialize({'version': VERSION, **content})
    checksum = _CHECKSUM.pack(zlib.crc32(body))
    files.write_atomic(path, body + checksum)
    # A rename is on the disk when its directory is; only then may the one before go.
    os.fsync(lock)
  except BaseException:
    if journal:
      journal.close(unlock=False)
    if not stays:
      os.close(lock)
    # What is there goes on with the journal until now, unless a snapshot after it stays.
    try:
      path.unlink(missing_ok=True)
      _journal(directory, number).unlink(missing_ok=True)
    except OSError as failure:
      if opened is not None and stays:
        opened.fail(failure)
    raise
  # Those with a dot are of processes that were killed. What cannot be removed does no harm.
  left = [_journal(directory, n) for n in old] + [directory / f'snapshot-{n}' for n in old]
  for each in [*left, *directory.glob('.snapshot-*')]:
    with contextlib.suppress(OSError):
      each.unlink(missing_ok=True)
  if opened is not None:
    opened.close(unlock=not stays)
  return journal


def load(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]], Journal]:
  """The last snapshot, the events since, and the journal that goes on.

  Raises:
    InputError: there is none, it is damaged, of another version, or another service has it.
  """
  if not is_saved(directory):
    raise InputError(f'{directory}: no snapshot of a service; make one by Service.save')
  directory = pathlib.Path(directory)
  lock = _locked(directory)
  try:
    # Only now, since its owner may have written another.
    number = max(_numbers(directory))
    content = _content(directory / f'snapshot-{number}')
    path = _journal(directory, number)
    payloads = list(_payloads(path))
    events = [serialization.msgpack_restore(payload) for payload in payloads]
    lengths = [len(_head(payload)) + len(payload) for payload in payloads]
    return content, events, Journal(lock, path, sum(lengths), sum(lengths[:-1]))
  except BaseException:
    os.close(lock)
    raise


def is_saved(directory: str | os.PathLike[str]) -> bool:
  """Whether there is a service to load: a process may end before its first snapshot is written."""
  directory = pathlib.Path(directory)
  return directory.is_dir() and bool(_numbers(directory))


def _locked(directory: pathlib.Path) -> int:
  """A descriptor of the directory; while it is open no other service can have it."""
  descriptor = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    os.close(descriptor)
    raise InputError(
      f'{directory}: another service has it open ({error.strerror}); close that one first'
    ) from None
  return descriptor


def _content(path: pathlib.Path) -> dict[str, Any]:
  raw = path.read_bytes()
  body, checksum = raw[: -_CHECKSUM.size], raw[-_CHECKSUM.size :]
  is_whole = checksum == _CHECKSUM.pack(zlib.crc32(body))
  try:
    # Version 1 had no checksum.
    content = serialization.msgpack_restore(body if is_whole else raw)
    version = content['version']
  except Exception as error:
    raise InputError(f'{path}: not a readable snapshot ({error}); take it from a backup') from error
  if version != VERSION:
    raise InputError(
      f'{path}: a snapshot of version {version}, and this is version {VERSION}; load it with the '
      'version of rec_jax that wrote it'
    )
  if not is_whole:
    raise InputError(f'{path}: not a readable snapshot (its checksum differs); use a backup')
  return content


def _head(payload: bytes) -> bytes:
  numbers = _FRAME.pack(len(payload), zlib.crc32(payload))
  return numbers + _CHECKSUM.pack(zlib.crc32(numbers))


def _payloads(path: pathlib.Path) -> Iterator[bytes]:
  """The events that are whole, in order.

  Raises:
    InputError: one that is not the last is damaged.
  """
  if not path.exists():
    return
  content = memoryview(path.read_bytes())
  size = _FRAME.size + _CHECKSUM.size
  start = 0
  while len(content) - start >= size:
    length, checksum = _FRAME.unpack_from(content, start)
    payload = bytes(content[start + size : start + size + length])
    is_head = (
      zlib.crc32(content[start : start + _FRAME.size])
      == _CHECKSUM.unpack_from(content, start + _FRAME.size)[0]
    )
    if is_head and len(payload) < length:
      return
    if not is_head or zlib.crc32(payload) != checksum:
      # A machine that stopped may leave zeros in place of the last event, and nothing after it.
      following = content[start + (size + length if is_head else 0) :]
      if any(following):
        raise InputError(f'{path}: an event at byte {start} is damaged; use a backup')
      return
    yield payload
    start += size + length


def _numbers(directory: pathlib.Path) -> list[int]:
  found = (re.fullmatch(r'snapshot-(\d+)', path.name) for path in directory.iterdir())
  return sorted(int(match[1]) for match in found if match)


def _journal(directory: pathlib.Path, number: int) -> pathlib.Path:
  return directory / f'journal-{number}'
