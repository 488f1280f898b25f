"""Logs of ranked lists: rows of one round are the items of a list, from the first position on.

Shape letters: n lists, L positions, K items, M rows.
"""

import dataclasses

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback, checked
from rec_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class RankedLists:
  """A log of ranked lists; shorter ones are filled with probability 1 and reward 0.

  Attributes:
    log: of M rows, a row an item shown.
    row: [n, L] int, which row of `log` each item is, -1 behind the end of a shorter list.
    action: [n, L] int64, -1 there.
    propensity: [n, L] float64, given the items above.
    reward: [n, L] float64.
  """

  log: LoggedFeedback
  row: np.ndarray
  action: np.ndarray
  propensity: np.ndarray
  reward: np.ndarray


def has_lists(log: LoggedFeedback) -> bool:
  """Whether rows share a round at one position after another, as the items of a list do."""
  return bool(((np.diff(log.round) == 0) & (np.diff(log.position) > 0)).any())


def from_rows(source: str, log: LoggedFeedback) -> RankedLists:
  """The lists of a log in which `has_lists`.

  Raises:
    InputError: one line with the column and the first offending row, from 0.
  """
  rows = np.arange(len(log.action))
  checked(source, dataclasses.replace(log, round=rows))
  starts = np.append([True], np.diff(log.round) != 0)
  wrong = {
    'round': (
      np.append([False], np.diff(log.round) < 0),
      'below that of the row before; give lists in the order of time',
    ),
    'position': (
      log.position != rows - np.maximum.accumulate(np.where(starts, rows, 0)),
      'not the next one of its list; give the rows of a round one after another, from position 0',
    ),
    'user_id': (
      np.append([False], (log.user_id[1:] != log.user_id[:-1]) & ~starts[1:]),
      'not that of the list; a round is of one user',
    ),
  }
  for name, (is_wrong, what) in wrong.items():
    if is_wrong.any():
      first = int(np.argmax(is_wrong))
      raise InputError(f'{source}: {name}, row {first}: {getattr(log, name)[first]} is {what}')
  slate = np.cumsum(starts) - 1
  row = np.full((slate[-1] + 1, log.position.max() + 1), -1)
  row[slate, log.position] = rows
  return RankedLists(
    log=log,
    row=row,
    action=filled(row, log.action, -1),
    propensity=filled(row, log.propensity, 1),
    reward=filled(row, log.reward, 0),
  )


def filled(row: np.ndarray, values: np.ndarray, fill: float) -> np.ndarray:
  """[n, L, ...] of values [M, ...] a row, with `fill` behind the end of a shorter list."""
  is_row = (row >= 0).reshape(*row.shape, *[1] * (values.ndim - 1))
  return np.where(is_row, np.asarray(values)[row], fill)
