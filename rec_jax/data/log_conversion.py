"""A log of one format written as another, and what the other does not hold of it."""

import dataclasses
from pathlib import Path

import numpy as np

from rec_jax.data import logged, ranked_lists
from rec_jax.data.logged_feedback import PER_ROUND, LoggedFeedback
from rec_jax.types import InputError

# Columns of a table that are part of a log.
_KNOWN = {*logged.COLUMNS, 'position', 'candidates', *PER_ROUND}


def convert(source: Path, target: Path) -> tuple[LoggedFeedback, list[str]]:
  """Reads a log by its suffix and writes it by the suffix of the target.

  Returns:
    The log, and what the written file does not give back of it, by name.

  Raises:
    InputError: the log cannot be read, or the format of the target cannot hold it.
  """
  if source.resolve() == target.resolve():
    raise InputError(f'--out: {target} is the log itself; name another file')
  if not target.parent.is_dir():
    raise InputError(f'--out: no directory {target.parent}')
  log = logged.read(source, ranked=True)
  if ranked_lists.has_lists(log):
    ranked_lists.from_rows(str(source), log)
    if not logged.is_table(target):
      raise InputError(f'{source}: it is of ranked lists, which .parquet and .csv alone hold')
  logged.write(target, log)
  written = logged.read(target, ranked=True)
  lost = [
    field.name
    for field in dataclasses.fields(log)
    if not _is_same(getattr(log, field.name), getattr(written, field.name))
  ]
  return log, lost + [name for name in logged.columns(source) if name not in _KNOWN]


def _is_same(one: object, other: object) -> bool:
  if one is None or other is None:
    return one is other
  return np.array_equal(np.asarray(one), np.asarray(other))
