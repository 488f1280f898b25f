"""Users of a real stream come back in the order of their real events; each visit is one decision.

The whole catalogue and the rated candidates differ only in who is a candidate and what it is
worth: `catalogue_data` and `rated_data` build the data, this file plays it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.bandits.rows import put_row, take_row
from rec_jax.environments.base import Environment, Metrics, best_rewards, outcome_rows
from rec_jax.environments.sparse_rows import row_of
from rec_jax.types import ArmSpec, Context, Decision, Feedback, InputError

EncodeUser = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]


@struct.dataclass
class History:
  """The last H events of each user, the newest last.

  Attributes:
    items: [U, H] int32.
    rewards: [U, H] float32.
    mask: [U, H] bool, False where the user has fewer events.
  """

  items: Any
  rewards: Any
  mask: Any


@struct.dataclass
class VisitData:
  """A stream of visits and the outcome of everything that could be shown.

  Users are numbered 0 to U - 1 among those who visit; `users` says who they are in the source.

  Attributes:
    visits: [T] int32, the user of each round.
    rewards: [U, K] or `SparseRows` of it, the outcome of each candidate, int8 where all are 0 or 1.
    mask: [U, K] bool or `SparseRows` of it, False where there is no candidate.
    items: [U, K] int32, the arm of each candidate; None where candidate k is arm k for all.
    features: [N, F] float32, of each arm.
    history: events before the cut.
    users: [U] int32, index of each user in the source.
    params: of the encoder of users, None without one.
    queries: [U, D] float32, the queries where no encoder makes them; None for zeros.
    most_visits: V, of any user; static.
  """

  visits: Any
  rewards: Any
  mask: Any
  items: Any
  features: Any
  history: History
  users: Any
  params: Any = None
  queries: Any = None
  most_visits: int = struct.field(pytree_node=False, default=1)


@struct.dataclass
class VisitState:
  """State of one seed.

  Attributes:
    shown: [U, V * L] int32, the last candidates that each user was shown, -1 where there are fewer:
      all of them, as nobody comes more than V times.
    history: before the cut and shown since; None without an encoder of users.
  """

  shown: jax.Array
  history: History | None


def visit_environment(
  encode_user: EncodeUser | None = None,
  num_offered: int | None = None,
  seed: int = 0,
  slate_size: int = 1,
) -> Environment:
  """One user at each round (B = 1), never shown the same item twice.

  Args:
    encode_user: (params, items [H], rewards [H], mask [H]) -> query [D]. The history that it sees
      is the last H events before the cut and the items shown since with their rewards, nothing
      else. None gives the queries of the data, or zeros with D = F.
    num_offered: candidates of a visit, drawn from those that there are; None offers all of them.
    seed: of that draw, which is the same for all policies: see `offered`.
    slate_size: L.

  Returns:
    An environment over `VisitData` whose outcomes are all known, so regret is exact.
  """

  def init(key: jax.Array, data: VisitData) -> VisitState:
    del key
    history = None if encode_user is None else data.history
    shape = len(data.users), data.most_visits * slate_size
    return VisitState(shown=jnp.full(shape, -1, jnp.int32), history=history)

  def observe(key: jax.Array, data: VisitData, state: VisitState, t: jax.Array) -> Context:
    del key
    user = data.visits[t]
    mask = _without(row_of(data.mask, user), take_row(state.shown, user))
    context = Context(
      user_id=user,
      query=_query(encode_user, data, state, user),
      features=data.features if data.items is None else data.features[data.items[user]],
      arm_ids=jnp.arange(len(data.features)) if data.items is None else data.items[user],
      mask=mask if num_offered is None else offered(seed, t, mask, num_offered),
    )
    return jax.tree.map(lambda x: x[None], context)

  def step(
    key: jax.Array,
    data: VisitData,
    state: VisitState,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[VisitState, Feedback, Metrics]:
    del key
    user, index, mask = data.visits[t], decision.index[0], context.mask[0]
    if len(index) != slate_size:
      raise ValueError(f'slates of {len(index)} in an environment of slates of {slate_size}')
    rewards = row_of(data.rewards, user).astype(jnp.float32)
    reward = jnp.where(index < 0, 0.0, rewards[index])
    best = best_rewards(rewards, mask, len(index))
    # The oldest entry is dropped: there is room for all that a user is ever shown.
    shown = jnp.concatenate([take_row(state.shown, user), index])[slate_size:]
    state = VisitState(
      shown=put_row(state.shown, user, shown),
      history=_append(state.history, user, decision.arm_id[0], reward),
    )
    metrics = Metrics(
      reward=reward[None],
      expected_reward=reward[None],
      best_expected_reward=best[None],
      arm_id=decision.arm_id,
      user_id=context.user_id,
    )
    return state, outcome_rows(context, decision, reward[None]), metrics

  return Environment(init, observe, step)


def offered(seed: int, t: jax.Array, available: jax.Array, number: int) -> jax.Array:
  """[K] bool, `number` of the available candidates of round t, all where there are fewer."""
  key = jax.random.fold_in(jax.random.key(seed), t)
  draw = jnp.where(available, jax.random.uniform(key, available.shape), -1.0)
  return available & (draw >= jax.lax.top_k(draw, min(number, len(draw)))[0][-1])


def visit_spec(data: VisitData, query_dim: int | None = None, slate_size: int = 1) -> ArmSpec:
  """The sizes of a policy for `data`; the query is as long as the features unless given."""
  num_users, num_candidates = data.rewards.shape
  num_arms, arm_dim = data.features.shape
  query_dim = arm_dim if query_dim is None else query_dim
  return ArmSpec(num_arms, num_candidates, query_dim, arm_dim, slate_size, num_users)


def stream_visits(
  user: np.ndarray, min_events: int, num_visits: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
  """Who visits, and when: the times of each user's first events.

  Args:
    user: [E] the user of each event after the cut, in order.
    min_events: users with fewer events do not visit.
    num_visits: number of events [U] -> number of visits [U].

  Returns:
    users [U] int32 of the source, ascending; visits [T] int32 in [0, U).

  Raises:
    InputError: nobody has enough events.
  """
  users, place, count = np.unique(user, return_inverse=True, return_counts=True)
  enough = count >= min_events
  if not enough.any():
    raise InputError(
      f'no user has {min_events} events after the cut (the most is {count.max(initial=0)}); '
      'lower min_events or cut earlier'
    )
  visiting = np.where(enough, num_visits(count), 0)
  visits = place[_rank_within(place) < visiting[place]]
  renumber = np.cumsum(enough) - 1
  return users[enough].astype(np.int32), renumber[visits].astype(np.int32)


def last_events(
  user: np.ndarray, item: np.ndarray, reward: np.ndarray, users: np.ndarray, length: int
) -> History:
  """The last `length` events of each of `users`, right aligned.

  Args:
    user: [E] of the events before the cut, in order.
    item: [E].
    reward: [E].
    users: [U] ascending.
    length: H.
  """
  row, known = rows_of(users, user)
  # Counted from the end: the newest event of a user goes to the last column.
  row, item, reward = row[known][::-1], item[known][::-1], reward[known][::-1]
  column = length - 1 - _rank_within(row)
  row, column, item, reward = (x[column >= 0] for x in (row, column, item, reward))
  shape = (len(users), length)
  items, rewards, mask = (
    np.zeros(shape, np.int32),
    np.zeros(shape, np.float32),
    np.zeros(shape, bool),
  )
  items[row, column], rewards[row, column], mask[row, column] = item, reward, True
  return History(items, rewards, mask)


def rows_of(users: np.ndarray, user: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Row [E] of each event's user among the ascending `users`, and whether it is there [E]."""
  row = np.minimum(np.searchsorted(users, user), len(users) - 1)
  return row, users[row] == user


def check_events(
  user: np.ndarray, item: np.ndarray, reward: np.ndarray, num_before: int, features: np.ndarray
) -> None:
  """Raises InputError unless the columns agree, the cut is inside and every item has features."""
  if not len(user) == len(item) == len(reward):
    raise InputError(
      f'user, item and reward have {len(user)}, {len(item)} and {len(reward)} rows; '
      'give one of each for every event'
    )
  if not 0 < num_before < len(user):
    raise InputError(
      f'the cut at event {num_before} leaves one side of {len(user)} events empty; move the cut'
    )
  if np.max(item) >= len(features):
    raise InputError(
      f'item {np.max(item)} has no row in features of shape {features.shape}; '
      'give one row for each item'
    )
  if not np.isfinite(features).all() or not np.isfinite(reward).all():
    raise InputError('features or rewards contain NaN or infinity; clean them first')


def compact_rewards(rewards: np.ndarray) -> np.ndarray:
  """int8 where every reward is 0 or 1, a quarter of float32; otherwise float32."""
  return rewards.astype(np.int8 if np.isin(rewards, (0, 1)).all() else np.float32)


def _query(
  encode_user: EncodeUser | None, data: VisitData, state: VisitState, user: jax.Array
) -> jax.Array:
  if encode_user is None:
    num_features = data.features.shape[1]
    return jnp.zeros(num_features) if data.queries is None else data.queries[user]
  history = take_row(state.history, user)
  return encode_user(data.params, history.items, history.rewards, history.mask)


def _append(
  history: History | None, user: jax.Array, items: jax.Array, rewards: jax.Array
) -> History | None:
  """Adds what was shown [L]; an item of -1 was not."""
  if history is None:
    return None
  shown = items >= 0
  old = take_row(history, user)
  row = History(
    jnp.concatenate([old.items, items]),
    jnp.concatenate([old.rewards, rewards]),
    jnp.concatenate([old.mask, shown]),
  )
  # The positions that were shown come first in a slate, so the window ends with the last of them.
  length = len(old.items)
  row = jax.tree.map(lambda x: jax.lax.dynamic_slice(x, (jnp.sum(shown),), (length,)), row)
  return put_row(history, user, row)


def _without(mask: jax.Array, index: jax.Array) -> jax.Array:
  """[K] with the positions [n] cleared; -1 clears none."""
  return mask.at[jnp.where(index < 0, len(mask), index)].set(False, mode='drop')


def _rank_within(group: np.ndarray) -> np.ndarray:
  """[E] how many earlier rows belong to the same group."""
  order = np.argsort(group, kind='stable')
  sorted_group = group[order]
  first = np.searchsorted(sorted_group, sorted_group)
  rank = np.empty(len(group), np.int64)
  rank[order] = np.arange(len(group)) - first
  return rank
