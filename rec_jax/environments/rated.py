"""Rated candidates: what the user really met after the cut, so that every outcome is known."""

from typing import Any

import numpy as np

from rec_jax.environments.sparse_rows import SparseRows, entries_of, sparse_rows
from rec_jax.environments.visits import (
  VisitData,
  check_events,
  compact_rewards,
  last_events,
  rows_of,
  stream_visits,
)

# Pairs of users and items of which a sample is drawn at once.
_BLOCK = 2**22


def rated_data(
  user: np.ndarray,
  item: np.ndarray,
  reward: np.ndarray,
  num_before: int,
  features: np.ndarray,
  *,
  min_events: int = 10,
  negatives_ratio: float = 0.0,
  seed: int = 0,
  history_length: int = 50,
  params: Any = None,
) -> VisitData:
  """Builds the environment in which the candidates are the user's own items after the cut.

  A user visits half as often as there are such items: if all were shown, every policy would end
  equal. Users chose these candidates themselves, so being greedy is strong here.

  Args:
    user: [E] int, in time order.
    item: [E] int in [0, N), at most once a user.
    reward: [E] float, what each event is worth.
    num_before: events before the cut.
    features: [N, F] float32.
    min_events: users with fewer events after the cut do not visit.
    negatives_ratio: for implicit feedback, items that the user never met, sampled without
      replacement for each real one, worth 0; 0 adds none.
    seed: of that sample.
    history_length: H, events of the user that an encoder sees.
    params: of the encoder of users.

  Returns:
    Data for `visit_environment`; a user's candidates are in the order of their item index.

  Raises:
    InputError: columns that disagree, a cut outside, or nobody with enough events.
  """
  user, item, reward, features = (np.asarray(x) for x in (user, item, reward, features))
  check_events(user, item, reward, num_before, features)
  before, after = slice(num_before), slice(num_before, None)
  users, visits = stream_visits(user[after], min_events, lambda count: count // 2)
  row, known = rows_of(users, user)
  later = known & (np.arange(len(user)) >= num_before)
  shape = len(users), len(features)
  own = sparse_rows(row[later], item[later], reward[later], shape, 0)
  if negatives_ratio > 0:
    met = sparse_rows(row[known], item[known], known[known], shape, False)
    own = _with_negatives(own, met, negatives_ratio, seed)
  count = np.diff(own.starts)
  mask = np.arange(own.longest) < count[:, None]
  items, worth = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, np.float32)
  items[mask], worth[mask] = own.columns[: count.sum()], own.values[: count.sum()]
  return VisitData(
    visits=visits,
    rewards=compact_rewards(worth),
    mask=mask,
    items=items,
    features=features.astype(np.float32),
    history=last_events(user[before], item[before], reward[before], users, history_length),
    users=users,
    params=params,
    most_visits=int(np.bincount(visits).max()),
  )


def _with_negatives(own: SparseRows, met: SparseRows, ratio: float, seed: int) -> SparseRows:
  """Adds `ratio` times as many items that the user never met, worth 0, as far as there are any."""
  num_users, num_items = own.shape
  rng = np.random.default_rng(seed)
  wanted = np.ceil(ratio * np.diff(own.starts)).astype(int)
  met_row, met_item, _ = entries_of(met)
  row, item, value = ([part] for part in entries_of(own))
  size = max(1, _BLOCK // num_items)
  for first in range(0, num_users, size):
    block = slice(first, first + size)
    order = rng.random((len(wanted[block]), num_items), np.float32)
    inside = (met_row >= first) & (met_row < first + size)
    # Items that were met sort last and are never taken.
    order[met_row[inside] - first, met_item[inside]] = np.inf
    rank = np.argsort(np.argsort(order, axis=1), axis=1)
    taken_row, taken = np.nonzero((rank < wanted[block, None]) & np.isfinite(order))
    row.append(taken_row + first)
    item.append(taken)
    value.append(np.zeros(len(taken), own.values.dtype))
  row_of_all, item_of_all, value_of_all = map(np.concatenate, (row, item, value))
  return sparse_rows(row_of_all, item_of_all, value_of_all, own.shape, 0)
