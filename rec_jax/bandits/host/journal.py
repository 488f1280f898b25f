"""Snapshots and a journal of what came after: a process may be killed at any moment.

A directory holds `snapshot-N` and `journal-N`, the events since. A new snapshot is written beside
the old one and takes its place by a rename; an event is in the journal before it is acknowledged.
An event that was being written when the process ended is cut off: nobody was told of it.
"""

import os
import pathlib
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from flax import serialization

from rec_jax import files
from rec_jax.types import InputError

VERSION = 1
_FRAME = struct.Struct('<II')


class Journal:
  """The open journal of a directory."""

  def __init__(self, directory: str | os.PathLike[str], number: int):
    """Opens `journal-number`, cutting off an event that was not written whole."""
    self._directory = pathlib.Path(directory)
    self._number = number
    path = _journal(self._directory, number)
    length = sum(_FRAME.size + len(payload) for payload in _payloads(path))
    self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(self._descriptor, length)
    os.lseek(self._descriptor, 0, os.SEEK_END)

  def write(self, event: dict[str, Any], *, sync: bool = False) -> None:
    """Appends an event, after which the process may be killed; with `sync` the machine as well."""
    payload = serialization.msgpack_serialize(event)
    frame = memoryview(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
    while frame:
      frame = frame[os.write(self._descriptor, frame) :]
    if sync:
      os.fsync(self._descriptor)

  def close(self) -> None:
    os.close(self._descriptor)


def save(directory: str | os.PathLike[str], content: dict[str, Any]) -> Journal:
  """Writes the next snapshot, begins its journal and removes the ones before."""
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  old = _numbers(directory)
  number = max(old, default=-1) + 1
  path = directory / f'snapshot-{number}'
  files.write_atomic(path, serialization.msgpack_serialize({'version': VERSION, **content}))
  journal = Journal(directory, number)
  for each in old:
    _journal(directory, each).unlink(missing_ok=True)
    (directory / f'snapshot-{each}').unlink(missing_ok=True)
  return journal


def load(directory: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]], Journal]:
  """The last snapshot, the events since, and the journal that goes on.

  Raises:
    InputError: there is none, it is damaged, or of another version.
  """
  directory = pathlib.Path(directory)
  numbers = _numbers(directory) if directory.is_dir() else []
  if not numbers:
    raise InputError(f'{directory}: no snapshot of a service; make one by Service.save')
  path = directory / f'snapshot-{max(numbers)}'
  try:
    content = serialization.msgpack_restore(path.read_bytes())
    version = content['version']
  except Exception as error:
    raise InputError(f'{path}: not a readable snapshot ({error}); take it from a backup') from error
  if version != VERSION:
    raise InputError(
      f'{path}: a snapshot of version {version}, and this is version {VERSION}; load it with the '
      'version of rec_jax that wrote it'
    )
  payloads = _payloads(_journal(directory, max(numbers)))
  events = [serialization.msgpack_restore(payload) for payload in payloads]
  return content, events, Journal(directory, max(numbers))


def _payloads(path: pathlib.Path) -> Iterator[bytes]:
  """The events that are whole, in order.

  Raises:
    InputError: one that is not the last is damaged.
  """
  if not path.exists():
    return
  with path.open('rb') as stream:
    while len(frame := stream.read(_FRAME.size)) == _FRAME.size:
      length, checksum = _FRAME.unpack(frame)
      payload = stream.read(length)
      if len(payload) < length or zlib.crc32(payload) != checksum:
        if len(payload) == length and stream.read(1):
          raise InputError(f'{path}: an event at byte {stream.tell()} is damaged; use a backup')
        return
      yield payload


def _numbers(directory: pathlib.Path) -> list[int]:
  found = (re.fullmatch(r'snapshot-(\d+)', path.name) for path in directory.iterdir())
  return sorted(int(match[1]) for match in found if match)


def _journal(directory: pathlib.Path, number: int) -> pathlib.Path:
  return directory / f'journal-{number}'
