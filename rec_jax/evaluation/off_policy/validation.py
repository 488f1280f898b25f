"""Checks of a log on the host: each complaint is one line that names the row.

Rows are counted from 0, as in the arrays.
"""

import numpy as np
from jax.typing import ArrayLike

from rec_jax.types import InputError

# Sums of float32 probabilities over some thousand actions are off by less.
TOLERANCE = 1e-4


def check_log(
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  action_dist: ArrayLike,
  position: ArrayLike | None = None,
  q_hat: ArrayLike | None = None,
  pi_b: ArrayLike | None = None,
) -> None:
  """Raises unless the arguments of `estimators.match` are a log that can be evaluated.

  Args:
    reward: [n].
    action: [n].
    pscore: [n].
    action_dist: [n, K, L].
    position: [n], if given.
    q_hat: [n, K, L], if given.
    pi_b: [n, K, L], if given.

  Raises:
    InputError: one line with the argument, the first offending row and the remedy.
  """
  shape = np.shape(action_dist)
  if len(shape) != 3:
    raise InputError(f'action_dist: expected [rounds, actions, positions], got {list(shape)}')
  columns = {'reward': reward, 'action': action, 'pscore': pscore}
  if position is not None:
    columns['position'] = position
  _check_lengths(columns | {'action_dist': action_dist}, {'q_hat': q_hat, 'pi_b': pi_b})
  _check_index('action', np.asarray(action), shape[1])
  if position is not None:
    _check_index('position', np.asarray(position), shape[2])
  check_finite('reward', np.asarray(reward), 'leave the row out or give its reward')
  check_propensities(np.asarray(pscore))
  check_policy(np.asarray(action_dist))
  if q_hat is not None:
    check_finite('q_hat', np.asarray(q_hat), 'mend the reward model')
  if pi_b is not None:
    _check_behaviour(np.asarray(pi_b), np.asarray(pscore), np.asarray(action), position)
  _check_overlap(np.asarray(action_dist), np.asarray(action), position)


def check_level(level: float) -> None:
  """Raises unless a level of intervals is a probability."""
  if not 0 < level < 1:
    raise InputError(f'level: {level:g} is not in (0, 1); give 0.95 for 95 %')


def check_finite(name: str, values: np.ndarray, remedy: str, start: int = 0) -> None:
  """Raises unless values [n, ...] are finite, naming the row, from `start` on, and the remedy."""
  row = _first(~np.isfinite(values).reshape(len(values), -1).all(1))
  if row is not None:
    raise InputError(f'{name}, row {start + row}: a value is NaN or infinite; {remedy}')


def check_propensities(pscore: np.ndarray) -> None:
  """Raises unless all propensities [n] are in (0, 1], naming the row."""
  row = _first(np.asarray(~((pscore > 0) & (pscore <= 1))))
  if row is not None:
    raise InputError(
      f'pscore, row {row}: {pscore[row]:g} is not in (0, 1]; give the probability with which the '
      'logged action was chosen'
    )


def check_policy(action_dist: np.ndarray, start: int = 0) -> None:
  """Raises unless a policy [n, K, L] is one, naming the row, from `start` on."""
  row = _first(np.atleast_1d(~(action_dist >= 0).reshape(len(action_dist), -1).all(1)))
  if row is not None:
    raise InputError(f'action_dist, row {start + row}: a probability is negative or NaN')
  total = action_dist.sum(1)
  wrong = np.abs(total - 1) > TOLERANCE
  row = _first(wrong.any(1))
  if row is not None:
    position = int(np.argmax(wrong[row]))
    raise InputError(
      f'action_dist, row {start + row}: sums to {total[row, position]:.6g} at position {position}, '
      'not to 1; give a distribution over actions for each position'
    )


def _check_lengths(columns: dict[str, ArrayLike], tables: dict[str, ArrayLike | None]) -> None:
  num_rounds = np.shape(columns['action_dist'])[0]
  for name, column in columns.items():
    shape = np.shape(column)
    if name != 'action_dist' and len(shape) != 1:
      raise InputError(f'{name}: expected one number a round, [{num_rounds}], got {list(shape)}')
    if shape[0] != num_rounds:
      short = min(shape[0], num_rounds)
      raise InputError(
        f'{name} has {shape[0]} rows and action_dist {num_rounds}: row {short} is in one of them '
        'only; give both for the same rounds'
      )
  if num_rounds == 0:
    raise InputError('the log is empty: there is no row 0; give at least one round')
  shape = np.shape(columns['action_dist'])
  for name, table in tables.items():
    if table is not None and np.shape(table) != shape:
      raise InputError(
        f'{name} is {list(np.shape(table))} and action_dist {list(shape)}; give a number for each '
        'round, action and position'
      )


def _check_index(name: str, index: np.ndarray, size: int) -> None:
  if not np.issubdtype(index.dtype, np.integer):
    raise InputError(f'{name}: expected integers, got {index.dtype}, from row 0 on')
  row = _first((index < 0) | (index >= size))
  if row is not None:
    raise InputError(
      f'{name}, row {row}: {index[row]} is not in 0..{size - 1}; number the {name}s as the axis of '
      'action_dist does'
    )


def _check_behaviour(
  pi_b: np.ndarray, pscore: np.ndarray, action: np.ndarray, position: ArrayLike | None
) -> None:
  place = np.zeros(len(action), int) if position is None else np.asarray(position)
  logged = pi_b[np.arange(len(action)), action, place]
  # NaN is not near either. Logs may round one of them.
  row = _first(~(np.abs(logged - pscore) <= 1e-3 * pscore + 1e-6))
  if row is not None:
    raise InputError(
      f'pi_b, row {row}: {logged[row]:g} for the logged action and a pscore of {pscore[row]:g}; '
      'give the policy that logged in both'
    )


def _check_overlap(action_dist: np.ndarray, action: np.ndarray, position: ArrayLike | None) -> None:
  place = np.zeros(len(action), int) if position is None else np.asarray(position)
  if not action_dist[np.arange(len(action)), action, place].any():
    raise InputError(
      'no overlap: action_dist gives the logged action probability 0 in every row, from row 0 on; '
      'evaluate this policy on a log that takes its actions'
    )


def _first(wrong: np.ndarray) -> int | None:
  return int(np.argmax(wrong)) if wrong.any() else None
