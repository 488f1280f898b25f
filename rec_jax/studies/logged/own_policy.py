"""Probabilities of the user's own policy: a column of the log, a file, or a Python function.

Shape letters: n rounds, C candidates of a round (all K items, in the order of `item_ids`, where the
log names none), L positions.
"""

import importlib
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax.data import logged, obp
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.types import InputError

COLUMN, FUNCTION = 'column:', 'python:'
# The flag that names a policy where no other is said to.
POLICY = '--policy'
# Sums of float32 probabilities over some thousand actions are off by less.
TOLERANCE = 1e-4


def is_own(name: str) -> bool:
  """Whether a name of --policy says where probabilities are."""
  return name.startswith((COLUMN, FUNCTION)) or name.endswith('.npy')


def probabilities(
  name: str, log: LoggedFeedback, path: str | Path, flag: str = POLICY
) -> np.ndarray:
  """What the user's policy would do in the rounds of a log.

  Args:
    name: 'column:NAME', of the log's file; 'FILE.npy'; or 'python:MODULE:FUNCTION', of which the
      function is called with the log.
    log: of n rounds.
    path: its file.
    flag: that named the policy, for errors.

  Returns:
    [n] of the logged action, which serves all estimators without a model; or [n, C, L].

  Raises:
    InputError: there are none, or they are no probabilities; one line that names the row.
  """
  return _checked(f'{flag}: {name}', given(name, log, path, flag), log)


def given(name: str, log: Any, path: str | Path, flag: str = POLICY) -> np.ndarray:
  """The numbers themselves, of any log; for the arguments see `probabilities`.

  Raises:
    InputError: there are none.
  """
  if name.startswith(COLUMN):
    return logged.read_column(path, name.removeprefix(COLUMN))
  if name.startswith(FUNCTION):
    return called(name, log, flag)
  try:
    found = np.load(name, allow_pickle=False)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    reason = str(error).splitlines()[0]
    raise InputError(f'{flag}: {name} is no .npy of plain numbers ({reason})') from error
  if not isinstance(found, np.ndarray):
    raise InputError(f'{flag}: {name} is a .npz of several arrays; give one, as .npy')
  return found


def called(name: str, log: Any, flag: str = POLICY) -> np.ndarray:
  """What the function of 'python:MODULE:FUNCTION' returns of a log.

  Raises:
    InputError: there is no such function, it does not run, with the line where it ended, or it
      returns no array of numbers.
  """
  module, _, function = name.removeprefix(FUNCTION).partition(':')
  try:
    found = _function(f'{flag}: {name}', module, function)(log)
  except InputError:
    raise
  # An exit would end the command without a line, and one with 0 as if all were well.
  except (Exception, SystemExit) as error:
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = ' '.join(str(error).split())
    raise InputError(
      f'{flag}: {name}: {type(error).__name__}: {said} ({place.filename}, line {place.lineno}); '
      'mend the function'
    ) from error
  return obp.numbers(flag, f'what {name} returns', found)


def _function(what: str, module: str, function: str) -> Callable[[Any], Any]:
  try:
    return getattr(importlib.import_module(module), function)
  except (ImportError, AttributeError, ValueError, SyntaxError) as error:
    raise InputError(
      f'{what}: {error}; give python:MODULE:FUNCTION of a module on PYTHONPATH'
    ) from error


def _checked(what: str, values: np.ndarray, log: LoggedFeedback) -> np.ndarray:
  num_rounds, num_positions = len(log.action), int(log.position.max()) + 1
  offered = len(log.item_ids) if log.candidates is None else log.candidates.shape[1]
  shapes = [(num_rounds,), (num_rounds, offered), (num_rounds, offered, num_positions)]
  if values.dtype.kind not in 'biuf' or values.shape not in shapes:
    raise InputError(
      f'{what} holds {values.dtype} of shape {list(values.shape)}; give a probability of '
      f'each logged action, [{num_rounds}], or of each candidate, {list(shapes[1])}, at each '
      f'position, {list(shapes[2])}'
    )
  values = values.astype(np.float64)
  wrong = ~((values >= 0) & (values <= 1 + TOLERANCE)).reshape(num_rounds, -1).all(1)
  if wrong.any():
    raise InputError(f'{what}, row {int(np.argmax(wrong))}: not in [0, 1]')
  if values.ndim == 1:
    return values
  if values.ndim == 2:
    values = np.repeat(values[:, :, None], num_positions, axis=2)
  if log.candidates is not None:
    beyond = (values * (log.candidates < 0)[:, :, None]).reshape(num_rounds, -1).any(1)
    if beyond.any():
      raise InputError(
        f'{what}, row {int(np.argmax(beyond))}: a probability where there is no candidate'
      )
  total = values.sum(1)
  off = (np.abs(total - 1) > TOLERANCE).any(1)
  if off.any():
    row = int(np.argmax(off))
    raise InputError(
      f'{what}, row {row}: sums to {total[row].max():.6g} over the candidates, not to 1'
    )
  return values / total[:, None]
