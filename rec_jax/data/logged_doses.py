"""Logs of a policy that chooses a number, such as a dose, a price or a bid, as Parquet or CSV.

Shape letters: n rounds, D context features.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from rec_jax.data import logged, logged_tables
from rec_jax.data.logged_feedback import LARGEST_VALUE, LEAST_PROPENSITY
from rec_jax.types import InputError

# The number that was chosen, and the density with which it was.
ACTION, DENSITY = 'action_value', 'propensity_density'
COLUMNS = ('user_id', ACTION, DENSITY, 'reward')

_NO_NUMBER = f'NaN or infinite, or beyond {LARGEST_VALUE:g}'


@dataclasses.dataclass(frozen=True)
class LoggedDoses:
  """What number a policy chose, how likely that was, and what came of it.

  Attributes:
    user_id: [n] strings; empty where users are unknown.
    action: [n] float64.
    density: [n] float64 above 0, in the inverse unit of the action.
    reward: [n] float64.
    context: [n, D], no columns where nothing is known.
  """

  user_id: np.ndarray
  action: np.ndarray
  density: np.ndarray
  reward: np.ndarray
  context: np.ndarray


def holds_doses(path: Path | str) -> bool:
  """Whether a file is a table whose actions are numbers; of other files nothing is said."""
  try:
    if Path(path).suffix.lower() == '.csv':
      return ACTION in pl.scan_csv(path, infer_schema=False).collect_schema()
    return ACTION in pl.read_parquet_schema(path)
  except (OSError, pl.exceptions.PolarsError):
    return False


def read(path: Path | str) -> LoggedDoses:
  """Reads a log with the columns `COLUMNS`, and `context`, lists of one length, if there is one.

  Raises:
    InputError: one line with the file, the column and the first offending row, from 0.
  """
  frame, _ = logged_tables.read(Path(path), 'log')
  for name in COLUMNS:
    if name not in frame.columns:
      raise InputError(f'{path}: no column "{name}"; a log of doses has {", ".join(COLUMNS)}')
  columns = {name: logged.read_column(path, name) for name in COLUMNS[1:]}
  for name, values in columns.items():
    if values.ndim > 1:
      raise InputError(f'{path}: column "{name}" holds lists; give one number in each row')
    _refuse(path, name, ~usable(values), f'is empty, {_NO_NUMBER}')
  _refuse(path, DENSITY, ~(columns[DENSITY] > 0), 'is not positive; give the density of the action')
  density, spread = columns[DENSITY].astype(np.float64), np.ptp(columns[ACTION])
  rare = density * (spread or 1) < LEAST_PROPENSITY
  _refuse(
    path, DENSITY, rare, f'times the range of {ACTION} is below {LEAST_PROPENSITY:g}; mend it'
  )
  users = logged_tables.ids_of(str(path), frame['user_id'])
  context = np.zeros((len(frame), 0))
  if 'context' in frame.columns:
    context = logged.read_column(path, 'context').reshape(len(frame), -1)
    _refuse(path, 'context', ~usable(context).all(1), f'has an element that is {_NO_NUMBER}')
    if isinstance(frame['context'].dtype, pl.List):
      length = frame['context'].list.len().to_numpy()
      _refuse(path, 'context', length != length[0], 'has another length than the first')
  action, reward = (columns[name].astype(np.float64) for name in (ACTION, 'reward'))
  return LoggedDoses(users.to_numpy().astype(str), action, density, reward, context)


def usable(values: np.ndarray) -> np.ndarray:
  """Which values are numbers whose sums of squares do not overflow."""
  # NaN is not below either.
  return np.abs(values.astype(np.float64)) <= LARGEST_VALUE


def _refuse(path: Path | str, name: str, rows: Any, what: str) -> None:
  if rows.any():
    raise InputError(f'{path}: column "{name}", row {int(np.argmax(rows))} {what}')
