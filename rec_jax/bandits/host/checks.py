"""Input from outside, checked before anything changes; each error is one line."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rec_jax.bandits.base import Range
from rec_jax.types import InputError


def check_sizes(least: int, **sizes: Any) -> None:
  """Raises InputError unless all are whole numbers from `least` on."""
  for name, size in sizes.items():
    if not isinstance(size, int) or isinstance(size, bool) or size < least:
      raise InputError(f'{name} = {size!r}; give a whole number from {least} on')


def check_plain(hyperparameters: dict[str, Any]) -> None:
  """Raises InputError unless a snapshot can hold all of them."""
  for name, value in hyperparameters.items():
    if not isinstance(value, bool | int | float | str | tuple) and not hasattr(value, 'shape'):
      raise InputError(
        f'{name} is {type(value).__name__}; a service is saved, and takes numbers, names and arrays'
      )


def numbers(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
  """The values as float32 of this shape.

  Raises:
    InputError: they are misshapen, not numbers, or not finite.
  """
  try:
    # A copy: what waits for its outcome must not change with the caller's array.
    with np.errstate(over='ignore'):
      table = np.array(values, np.float32)
  except (TypeError, ValueError) as error:
    raise InputError(f'{name} are not numbers of shape {shape} ({error})') from error
  if table.shape != shape:
    raise InputError(f'{name} has shape {table.shape}; expected {shape}')
  if not np.isfinite(table).all():
    _complain(name, table, ~np.isfinite(table), 'is not finite; leave it out or mend it')
  return table


def rewards(values: ArrayLike, num_rows: int, slate_size: int, reward_range: Range) -> np.ndarray:
  """[B, L] float32, NaN where a position's outcome is not known.

  Raises:
    InputError: they are misshapen, infinite, NaN though there is one position, or out of range.
  """
  try:
    with np.errstate(over='ignore'):
      table = np.asarray(values, np.float32)
  except (TypeError, ValueError) as error:
    raise InputError(f'rewards are not numbers ({error})') from error
  expected = (num_rows,) if slate_size == 1 else (num_rows, slate_size)
  if table.shape not in (expected, (num_rows, slate_size)):
    raise InputError(f'rewards has shape {table.shape}; expected {expected}')
  table = table.reshape(num_rows, slate_size)
  wrong = np.isinf(table) if slate_size > 1 else ~np.isfinite(table)
  if wrong.any():
    _complain('rewards', table, wrong, 'is not finite; leave the decision out or mend it')
  low, high = reward_range
  wrong = (table < low) | (table > high)
  if wrong.any():
    complaint = f'is outside [{low:g}, {high:g}], which this policy is made for; scale rewards'
    _complain('rewards', table, wrong, complaint)
  return table


def check_candidates(what: str, ids: Sequence[Any], slate_size: int | None = None) -> None:
  """Raises InputError unless there are ids, each once, and no more than a slate holds."""
  if not len(ids):
    raise InputError(f'{what}: none is given; give at least one')
  if len(set(ids)) < len(ids):
    twice = next(each for each in ids if list(ids).count(each) > 1)
    raise InputError(f'{what}: {twice!r} is given twice')
  if slate_size is not None and len(ids) != slate_size:
    raise InputError(f'{what}: {len(ids)} are given; a slate has {slate_size}')


def check_shown(shown: Sequence[Any], arms: Sequence[Any] | None) -> None:
  """Raises InputError unless what is shown is among the arms to choose from, if they are given."""
  absent = [] if arms is None else [each for each in shown if each not in arms]
  if absent:
    raise InputError(f'shown: {absent[0]!r} is not among the arms to choose from')


def _complain(name: str, table: np.ndarray, wrong: np.ndarray, complaint: str) -> None:
  """Raises on the first entry that is wrong."""
  place = tuple(int(i) for i in np.argwhere(wrong)[0])
  raise InputError(f'{name}[{", ".join(map(str, place))}] = {table[place]} {complaint}')
