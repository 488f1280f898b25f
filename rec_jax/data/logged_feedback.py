"""Logged feedback: what a policy chose, how likely that was, and what came of it.

Shape letters: n rounds, K actions, C candidates of a round at most, L positions, D context
features, A action features.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from rec_jax.types import InputError

# Sums of float32 probabilities over some thousand actions are off by less.
_TOLERANCE = 1e-4
PER_ROUND = ('context', 'expected_reward', 'pi_b', 'action_embed')
# Single precision holds smaller numbers, but no weight over them.
LEAST_PROPENSITY = 1e-30
# Beyond it sums of squares overflow, in single precision.
LARGEST_VALUE = 1e15
# No list of items is as long; a larger position is a number of something else.
_MOST_POSITIONS = 1_000
# By which pi_b may differ from the propensity, relative and absolute: logs may round either.
_RELATIVE_DIFFERENCE, _ABSOLUTE_DIFFERENCE = 1e-3, 1e-6


@dataclasses.dataclass(frozen=True)
class LoggedFeedback:
  """What a policy chose, how likely that was, and what came of it.

  Attributes:
    round: [n] int64 number of the round, in the order of time.
    user_id: [n] strings; empty where users are unknown.
    item_ids: [K] strings, all actions; those never chosen may be missing.
    action: [n] int64, index into `item_ids`.
    num_candidates: [n] int64, how many actions there were to choose from.
    position: [n] int64 in [0, L), 0 where one item is shown.
    propensity: [n] float64 in (0, 1], of the chosen action at its position.
    reward: [n] float64.
    context: [n, D] or None.
    action_context: [K, A] or None.
    expected_reward: [n, K] true expected rewards, known of synthetic data and where every outcome
      is, or None; [n, C] in the order of `candidates` where those are given.
    pi_b: [n, K, L] the whole policy that logged, or None.
    candidates: [n, C] int64, what there was to choose from, as indices into `item_ids`, -1 where
      there were fewer than C; None where these are all actions, or unknown.
    action_embed: [n, E] category of the logged action in each dimension of an embedding that varies
      from round to round, as numbers; None where it does not or is unknown.
    is_adaptive: whether the policy that logged is known to have learnt from these rounds.
  """

  round: np.ndarray
  user_id: np.ndarray
  item_ids: np.ndarray
  action: np.ndarray
  num_candidates: np.ndarray
  position: np.ndarray
  propensity: np.ndarray
  reward: np.ndarray
  context: np.ndarray | None = None
  action_context: np.ndarray | None = None
  expected_reward: np.ndarray | None = None
  pi_b: np.ndarray | None = None
  candidates: np.ndarray | None = None
  action_embed: np.ndarray | None = None
  is_adaptive: bool = False


def chosen_index(log: LoggedFeedback) -> np.ndarray:
  """[n] the place of each logged action among the candidates of its round."""
  if log.candidates is None:
    return log.action
  return np.argmax(log.candidates == log.action[:, None], axis=1)


def offered_policy(log: LoggedFeedback, rows: slice | np.ndarray) -> np.ndarray | None:
  """[m, C, L] the policy that logged over the candidates of some rounds; None if not known."""
  if log.pi_b is None:
    return None
  policy = np.asarray(log.pi_b)[rows]
  if log.candidates is not None:
    offered = log.candidates[rows][:, :, None]
    return np.where(offered >= 0, np.take_along_axis(policy, offered, 1), 0)
  # Items that are known from elsewhere were not there to choose from.
  missing = len(log.item_ids) - policy.shape[1]
  return np.pad(policy, ((0, 0), (0, missing), (0, 0))) if missing else policy


def subset(log: LoggedFeedback, rows: slice | np.ndarray) -> LoggedFeedback:
  """Some rounds of a log, by a slice, indices or a mask, with all of its items."""
  of_all = ('item_ids', 'action_context', 'is_adaptive')
  return dataclasses.replace(
    log,
    **{
      name: column[rows]
      for name, column in vars(log).items()
      if name not in of_all and column is not None
    },
  )


class Inputs(NamedTuple):
  """What a policy reads of a log.

  Attributes:
    user: [n] int32 in [0, U).
    query: [n, D] float32.
    features: [K, F] float32.
  """

  user: np.ndarray
  query: np.ndarray
  features: np.ndarray


def policy_inputs(log: LoggedFeedback, num_train: int | None = None) -> Inputs:
  """What a policy reads of a log: users, queries and features of the actions.

  Args:
    log: whose context is the query, and whose action context holds the features; a column of ones
      and a column an action where there is none.
    num_train: rounds that say how to scale the context; None takes all.

  Returns:
    user [n] int32, numbered from 0; query [n, D] and features [K, F] float32, of mean 0 and
    variance 1.
  """
  user = np.unique(log.user_id, return_inverse=True)[1].astype(np.int32)
  query = np.ones((len(log.action), 1), np.float32)
  if log.context is not None:
    query = scaled(log.context, num_train).astype(np.float32)
  features = np.eye(len(log.item_ids), dtype=np.float32)
  if log.action_context is not None:
    features = scaled(log.action_context).astype(np.float32)
  return Inputs(user, query, features)


def scaled(values: np.ndarray, num_train: int | None = None) -> np.ndarray:
  """Columns by the mean and the standard deviation of the first rows; constant ones stay."""
  mean, spread = moments(values[:num_train])
  return (values - mean) / spread


def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The mean and the standard deviation of each column; 0 and 1 where it is constant.

  So a constant column stays as it is: a policy may need it as its intercept.
  """
  values = np.asarray(values, np.float64)
  spread = values.std(0)
  varies = spread > 0
  return np.where(varies, values.mean(0), 0), np.where(varies, spread, 1)


def checked(source: str, log: LoggedFeedback) -> LoggedFeedback:
  """The log itself, once no row of it can mislead an estimator.

  Raises:
    InputError: one line with the source, the column and the first offending row, from 0.
  """
  num_rounds, num_actions = len(log.action), len(log.item_ids)
  if num_rounds == 0:
    raise InputError(f'{source}: the log is empty; give at least one round')
  for name in ('round', 'user_id', 'propensity', 'reward', 'position', *PER_ROUND, 'candidates'):
    values = getattr(log, name)
    if values is not None and len(values) != num_rounds:
      raise InputError(f'{source}: {name} has {len(values)} rows and action {num_rounds}')
  _check_shapes(source, log)
  _check_ids(source, log.item_ids)
  wrong = [
    ('action', (log.action < 0) | (log.action >= num_actions), f'not in 0..{num_actions - 1}'),
    ('position', log.position < 0, 'negative'),
    (
      'position',
      log.position >= _MOST_POSITIONS,
      f'not in 0..{_MOST_POSITIONS - 1}; number the places of a list from 0',
    ),
    ('num_candidates', log.num_candidates < 1, 'not positive'),
    ('propensity', ~((log.propensity > 0) & (log.propensity <= 1)), 'not in (0, 1]'),
    (
      'propensity',
      log.propensity < LEAST_PROPENSITY,
      f'below {LEAST_PROPENSITY:g}, which no draw comes to; mend it or leave the row out',
    ),
    ('reward', ~np.isfinite(log.reward), 'NaN or infinite'),
    ('reward', np.abs(log.reward) > LARGEST_VALUE, f'beyond {LARGEST_VALUE:g}; rescale rewards'),
    (
      'round',
      np.concatenate([[False], log.round[1:] <= log.round[:-1]]),
      'not above that of the row before; give rounds in the order of time, each once',
    ),
  ]
  for name, rows, what in wrong:
    if rows.any():
      row = int(np.argmax(rows))
      raise InputError(f'{source}: {name}, row {row}: {getattr(log, name)[row]} is {what}')
  if log.pi_b is not None:
    _check_pi_b(source, log)
  if log.candidates is not None:
    _check_candidates(source, log)
  return log


def _check_ids(source: str, item_ids: np.ndarray) -> None:
  known, first, count = np.unique(item_ids, return_index=True, return_counts=True)
  if (count > 1).any():
    twice = known[count > 1][np.argmin(first[count > 1])]
    raise InputError(f'{source}: item_ids has {str(twice)!r} more than once; give each item one id')


def _check_shapes(source: str, log: LoggedFeedback) -> None:
  num_rounds, num_actions = len(log.action), len(log.item_ids)
  expected: dict[str, tuple[int | str, ...]] = {
    'action': (num_rounds,),
    'num_candidates': (num_rounds,),
    'propensity': (num_rounds,),
    'reward': (num_rounds,),
    'position': (num_rounds,),
    'context': (num_rounds, 'D'),
    'action_context': (num_actions, 'A'),
    'expected_reward': (num_rounds, num_actions if log.candidates is None else 'C'),
    'pi_b': (num_rounds, num_actions, 'L'),
    'action_embed': (num_rounds, 'E'),
  }
  for name, shape in expected.items():
    values = getattr(log, name)
    if values is None:
      continue
    found = np.shape(values)
    if len(found) != len(shape) or any(
      isinstance(size, int) and size != other for size, other in zip(shape, found, strict=True)
    ):
      raise InputError(
        f'{source}: {name} has shape {list(found)}; give [{", ".join(map(str, shape))}]'
      )
    if name in ('context', 'action_context', 'expected_reward', 'action_embed'):
      # NaN is not below either.
      wrong = ~(np.abs(np.asarray(values, np.float64)) <= LARGEST_VALUE).all(1)
      if wrong.any():
        raise InputError(
          f'{source}: {name}, row {int(np.argmax(wrong))}: a value is NaN or infinite, or beyond '
          f'{LARGEST_VALUE:g}'
        )
  if log.pi_b is not None and log.position.max() >= log.pi_b.shape[2]:
    row = int(np.argmax(log.position >= log.pi_b.shape[2]))
    raise InputError(
      f'{source}: position, row {row}: {log.position[row]} is not in 0..{log.pi_b.shape[2] - 1}, '
      'the positions of pi_b'
    )


def _check_pi_b(source: str, log: LoggedFeedback) -> None:
  total = np.asarray(log.pi_b).sum(1)
  wrong = ~(np.abs(total - 1) <= _TOLERANCE) | (np.asarray(log.pi_b) < 0).any(1)
  if wrong.any():
    row, position = np.argwhere(wrong)[0]
    raise InputError(
      f'{source}: pi_b, row {row}: sums to {total[row, position]:.6g} at position {position}, or '
      'has a negative probability; give a distribution over actions for each position'
    )
  logged = np.asarray(log.pi_b)[np.arange(len(log.action)), log.action, log.position]
  allowed = _RELATIVE_DIFFERENCE * log.propensity + _ABSOLUTE_DIFFERENCE
  wrong = np.abs(logged - log.propensity) > allowed
  if wrong.any():
    row = int(np.argmax(wrong))
    raise InputError(
      f'{source}: pi_b, row {row}: {logged[row]:.6g} for the logged action and a propensity of '
      f'{log.propensity[row]:.6g}; give the policy that logged in both'
    )


def _check_candidates(source: str, log: LoggedFeedback) -> None:
  candidates = np.asarray(log.candidates)
  expected = log.expected_reward
  if expected is not None and expected.shape != candidates.shape:
    raise InputError(
      f'{source}: expected_reward has shape {expected.shape} and candidates {candidates.shape}'
    )
  ordered = np.sort(candidates, axis=1)
  wrong = {
    'an item is not among the item ids': (candidates >= len(log.item_ids)).any(1),
    'an item is there twice': ((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] >= 0)).any(1),
    'num_candidates counts other items than are known': (candidates >= 0).sum(1)
    != log.num_candidates,
    'the chosen item is not there': (candidates != log.action[:, None]).all(1),
  }
  for what, rows in wrong.items():
    if rows.any():
      raise InputError(f'{source}: candidates, row {int(np.argmax(rows))}: {what}')
