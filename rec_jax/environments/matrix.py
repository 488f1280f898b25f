"""A reward matrix of the user's own: what each item is worth to each user, where it is known."""

import os
import zipfile
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.environments.base import Environment, Metrics, best_rewards, outcome_rows
from rec_jax.environments.sparse_rows import left_aligned
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

# What numpy.load raises for files that are absent, cut short or of another kind.
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error)
_KEYS = ('rewards', 'user_features', 'item_features')


@struct.dataclass
class MatrixData:
  """The matrix, with the known rewards of each user moved to the left.

  Attributes:
    rewards: [U, K] float32, 0 where there is no candidate.
    mask: [U, K] bool, False where there is no candidate.
    items: [U, K] int32, the arm of each candidate.
    queries: [U, D] float32, features of the users.
    features: [N, F] float32, of each arm.
  """

  rewards: Any
  mask: Any
  items: Any
  queries: Any
  features: Any


def matrix_environment(num_users: int = 1) -> Environment:
  """At each round B users, drawn uniformly, choose among the items whose reward is known.

  The same user may come back and choose the same item again. Rewards are those of the matrix,
  without noise, so regret is exact.

  Args:
    num_users: B, drawn with replacement.

  Returns:
    An environment over `MatrixData`.
  """

  def observe(key: jax.Array, data: MatrixData, state: tuple[()], t: jax.Array) -> Context:
    del state, t
    user = jax.random.randint(key, (num_users,), 0, len(data.rewards))
    return Context(
      user_id=user,
      query=data.queries[user],
      features=data.features[data.items[user]],
      arm_ids=data.items[user],
      mask=data.mask[user],
    )

  def step(
    key: jax.Array,
    data: MatrixData,
    state: tuple[()],
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[tuple[()], Feedback, Metrics]:
    del key, t
    rewards, index = data.rewards[context.user_id], decision.index
    reward = jnp.where(index < 0, 0.0, jnp.take_along_axis(rewards, index, axis=1))
    metrics = Metrics(
      reward=reward,
      expected_reward=reward,
      best_expected_reward=jax.vmap(best_rewards, in_axes=(0, 0, None))(
        rewards, context.mask, index.shape[1]
      ),
      arm_id=decision.arm_id,
      user_id=context.user_id,
    )
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: (), observe, step)


def read_matrix(path: str | os.PathLike[str]) -> MatrixData:
  """Reads `rewards` and, where they are there, `user_features` and `item_features` of an .npz file.

  Raises:
    InputError: the file cannot be read, has no rewards or has arrays of other names, or
      `matrix_data` refuses them.
  """
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  except _UNREADABLE as error:
    reason = getattr(error, 'strerror', None) or 'no arrays of numbers in .npz form'
    raise InputError(
      f'{path}: cannot be read ({reason}); write it by numpy.savez(FILE, rewards=...)'
    ) from error
  if 'rewards' not in arrays or set(arrays) - set(_KEYS):
    raise InputError(
      f'{path}: has {", ".join(arrays) or "nothing"}; it must have rewards [users, items] and may '
      'have user_features and item_features'
    )
  try:
    return matrix_data(**arrays)
  except InputError as error:
    raise InputError(f'{path}: {error}') from error


def matrix_data(
  rewards: np.ndarray,
  user_features: np.ndarray | None = None,
  item_features: np.ndarray | None = None,
) -> MatrixData:
  """Checks a matrix and builds the data of `matrix_environment`.

  Args:
    rewards: [U, N], NaN where unknown; at least one is known of each user.
    user_features: [U, D]; None gives everybody the query (1).
    item_features: [N, F]; None gives each item a column of its own, F = N, which makes shared
      linear policies slow where there are many items.

  Returns:
    The data; K is the most that is known of a user.

  Raises:
    InputError: an array is misshapen or not of numbers, a reward is infinite, a user has none, or a
      feature is NaN or infinite.
  """
  rewards = _numbers('rewards', rewards)
  num_users, num_items = rewards.shape
  if np.isinf(rewards).any():
    user, item = np.argwhere(np.isinf(rewards))[0]
    raise InputError(
      f'rewards, row {user}, column {item}: {rewards[user, item]}; give a number, or NaN if unknown'
    )
  known = ~np.isnan(rewards)
  if not known.any(axis=1).all():
    raise InputError(
      f'rewards, row {np.argmin(known.any(axis=1))}: every reward is NaN; leave the user out'
    )
  queries = _features('user_features', user_features, 'row', num_users, rewards)
  features = _features('item_features', item_features, 'column', num_items, rewards)
  items, mask = left_aligned(known)
  return MatrixData(
    rewards=np.where(mask, np.take_along_axis(rewards, items, 1), 0).astype(np.float32),
    mask=mask,
    items=items,
    queries=np.ones((num_users, 1), np.float32) if queries is None else queries,
    features=np.eye(num_items, dtype=np.float32) if features is None else features,
  )


def matrix_spec(data: MatrixData, slate_size: int = 1) -> ArmSpec:
  """The sizes of a policy for `data`."""
  (num_users, num_candidates), (num_arms, arm_dim) = data.rewards.shape, data.features.shape
  return ArmSpec(num_arms, num_candidates, data.queries.shape[1], arm_dim, slate_size, num_users)


def _features(
  name: str, values: np.ndarray | None, line: str, count: int, rewards: np.ndarray
) -> np.ndarray | None:
  """float32 with a row for each `line` of the rewards."""
  if values is None:
    return None
  values = _numbers(name, values)
  if len(values) != count:
    raise InputError(
      f'{name} has shape {values.shape} and rewards have shape {rewards.shape}; give one row of '
      f'features for each {line} of rewards'
    )
  if not np.isfinite(values).all():
    row, column = np.argwhere(~np.isfinite(values))[0]
    raise InputError(f'{name}, row {row}, column {column}: {values[row, column]}; give a number')
  return values


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
  """float32 [rows, columns]; what float32 cannot hold becomes infinite."""
  if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in 'biuf':
    raise InputError(
      f'{name} has shape {values.shape} and type {values.dtype}; give numbers of two dimensions'
    )
  with np.errstate(over='ignore'):
    return values.astype(np.float32)
