"""The dictionary in which the Open Bandit Pipeline (OBP) keeps logged feedback.

As a file it is a `.npz` without pickled objects: keys that are None are left out.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.data.logged_feedback import PER_ROUND, LoggedFeedback, checked
from rec_jax.data.offered import check_offered
from rec_jax.types import InputError

# A table of probabilities has a column for each.
_MOST_ACTIONS = 1_000_000
UNKNOWN = '; evaluate_policy alone does without known ones, by --propensities=estimated'


def from_dictionary(feedback: Mapping[str, Any], source: str = 'feedback') -> LoggedFeedback:
  """Takes the dictionary that OBP's data sets return; its own key names.

  Args:
    feedback: n_rounds, n_actions, action, reward, pscore; and position, context, action_context,
      expected_reward, pi_b, action_embed, each of which may be absent or None.
    source: what to call it in messages.

  Raises:
    InputError: one line with the key and the first offending row, from 0.
  """
  for name in ('n_actions', 'action', 'reward', 'pscore'):
    if feedback.get(name) is None:
      unknown = UNKNOWN if name == 'pscore' else ''
      raise InputError(f'{source}: no "{name}"; a bandit feedback has it{unknown}')
  given = {
    name: numbers(source, name, feedback[name])
    for name in ('action', 'position', 'reward', 'pscore', *PER_ROUND, 'action_context')
    if feedback.get(name) is not None
  }
  num_actions, num_rounds = _count(source, feedback['n_actions']), len(given['action'])
  if feedback.get('n_rounds', num_rounds) != num_rounds:
    raise InputError(
      f'{source}: n_rounds is {feedback["n_rounds"]} and action has {num_rounds} rows'
    )
  given.setdefault('position', np.zeros(num_rounds))
  for name in ('action', 'position'):
    fractions = np.argwhere(given[name] != np.floor(given[name]))
    if len(fractions):
      value = given[name][tuple(fractions[0])]
      raise InputError(f'{source}: {name}, row {fractions[0][0]}: {value} is not a whole number')
  optional: dict[str, Any] = {name: given.get(name) for name in (*PER_ROUND, 'action_context')}
  return checked(
    source,
    LoggedFeedback(
      round=np.arange(num_rounds),
      user_id=np.full(num_rounds, ''),
      item_ids=np.arange(num_actions).astype(str),
      action=given['action'].astype(np.int64),
      num_candidates=np.full(num_rounds, num_actions),
      position=given['position'].astype(np.int64),
      propensity=given['pscore'].astype(np.float64),
      reward=given['reward'].astype(np.float64),
      **optional,
    ),
  )


def to_dictionary(log: LoggedFeedback) -> dict[str, Any]:
  """The dictionary that OBP's estimators and learners take; actions are indices of `item_ids`.

  Raises:
    InputError: the candidates change from round to round, which the dictionary cannot say, or are
      other items than those that are known.
  """
  if log.candidates is not None:
    raise InputError('candidates: they differ by round, which a bandit feedback cannot say')
  check_offered(log, 'a bandit feedback offers all in every round: give all item_ids')
  return {
    'n_rounds': len(log.action),
    'n_actions': len(log.item_ids),
    'context': log.context,
    'action_context': log.action_context,
    'action': log.action,
    'position': log.position,
    'reward': log.reward,
    'expected_reward': log.expected_reward,
    'pi_b': log.pi_b,
    'pscore': log.propensity,
  } | ({} if log.action_embed is None else {'action_embed': log.action_embed})


def read_npz(path: Path | str, *, with_propensity: bool = True) -> LoggedFeedback:
  """Reads a dictionary; arguments as of `logged.read`.

  Raises:
    InputError: one line with the file, the key and the first offending row, from 0.
  """
  try:
    with open(path, 'rb') as stream:
      # NumPy would take it for a pickle, or for a single array.
      if not zipfile.is_zipfile(stream):
        raise InputError(f'{path}: is no .npz; write one by numpy.savez, with a key each array')
      stream.seek(0)
      with np.load(stream, allow_pickle=False) as archive:
        feedback: dict[str, Any] = {name: archive[name] for name in archive.files}
  except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
    reason = str(error).splitlines()[0]
    raise InputError(
      f'{path}: cannot be read as a .npz of plain arrays ({reason}); leave out keys that are None'
    ) from error
  if not with_propensity:
    feedback |= {'pi_b': None, 'pscore': np.ones(np.shape(feedback.get('action', ()))[:1])}
  return from_dictionary(feedback, str(path))


def write_npz(path: Path, log: LoggedFeedback) -> None:
  """Writes the dictionary of a log, which holds neither users nor item ids.

  Raises:
    InputError: the dictionary cannot hold the log.
  """
  plain = {name: value for name, value in to_dictionary(log).items() if value is not None}
  with files.replacing(path) as stream:
    np.savez_compressed(stream, **plain)


def numbers(source: str, name: str, values: Any) -> np.ndarray:
  """An array of numbers with an axis at least; what is in it is not looked at."""
  try:
    array = np.asarray(values)
  except ValueError as error:
    raise InputError(f'{source}: {name} has rows of different lengths; give one length') from error
  if array.dtype.kind not in 'biuf' or array.ndim == 0:
    raise InputError(
      f'{source}: {name} is {array.dtype} of shape {list(array.shape)}; give an array of numbers'
    )
  return array


def _count(source: str, value: Any) -> int:
  """The number of actions, from a number or an array of one."""
  count = numbers(source, 'n_actions', np.atleast_1d(value))
  if count.size != 1 or not 1 <= count.item() <= _MOST_ACTIONS or count.item() % 1:
    raise InputError(
      f'{source}: n_actions is {value}; give one whole number in 1..{_MOST_ACTIONS:,}'
    )
  return int(count.item())
