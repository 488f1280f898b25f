"""Results that are kept as soon as they are known, so that a killed run resumes after them."""

import contextlib
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from rec_jax import files
from rec_jax.training.tracking import Advance

Work = Callable[[], Any]


class Parts(NamedTuple):
  """The parts of a run, each computed once.

  Attributes:
    directory: of one file a part.
    advance: the progress bar.
  """

  directory: Path
  advance: Advance

  def once(self, name: str, work: Work) -> Any:
    """The part of this name, JSON-like, computed unless an earlier run did."""
    part = self._kept(name, work)
    self.advance(1, name)
    return part

  def group(self, name: str, works: Mapping[str, Work]) -> dict[str, Any]:
    """`once` for each label of a group, two at a time: while one is compiled the other runs."""
    found = {}
    with _two_threads() as pool:
      names = [f'{name} {label}' for label in works]
      for label, part in zip(works, pool.map(self._kept, names, works.values()), strict=True):
        found[label] = part
        self.advance(1, f'{name} {label}')
    return found

  def frame(self, name: str, work: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """The table of this name, computed unless `has` it."""
    path = self._path(name, 'parquet')
    if not path.exists():
      frame = work()
      self.directory.mkdir(parents=True, exist_ok=True)
      with files.replacing(path) as stream:
        frame.write_parquet(stream)
    return pl.read_parquet(path)

  def has(self, name: str) -> bool:
    """Whether the table of this name is there."""
    return self._path(name, 'parquet').exists()

  def _kept(self, name: str, work: Work) -> Any:
    path = self._path(name, 'json')
    if not path.exists():
      self.directory.mkdir(parents=True, exist_ok=True)
      files.write_json(path, work())
    return json.loads(path.read_text())

  def _path(self, name: str, suffix: str) -> Path:
    # No two names share a file, whatever signs they hold.
    return self.directory / f'{urllib.parse.quote_plus(name, safe="=,")}.{suffix}'


@contextlib.contextmanager
def _two_threads() -> Iterator[ThreadPoolExecutor]:
  """Waits for both where one has failed, but not where the user wants an end."""
  pool, is_patient = ThreadPoolExecutor(2), True
  try:
    yield pool
  except KeyboardInterrupt:
    is_patient = False
    raise
  finally:
    pool.shutdown(wait=is_patient, cancel_futures=True)
