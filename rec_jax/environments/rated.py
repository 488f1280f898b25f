"""Rated candidates: what the user really met after the cut, so that every outcome is known."""

from typing import Any

import numpy as np

from rec_jax.environments.visits import (
  VisitData,
  check_events,
  compact_rewards,
  last_events,
  left_aligned,
  rows_of,
  stream_visits,
)


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
  # The worth of every (user, item) after the cut, NaN where it is no candidate.
  worth = np.full((len(users), len(features)), np.nan, np.float32)
  later = known[after]
  worth[row[after][later], item[after][later]] = reward[after][later]
  if negatives_ratio > 0:
    met = ~np.isnan(worth)
    met[row[before][known[before]], item[before][known[before]]] = True
    worth = _with_negatives(worth, met, negatives_ratio, seed)
  items, mask = left_aligned(~np.isnan(worth))
  return VisitData(
    visits=visits,
    rewards=compact_rewards(np.where(mask, np.take_along_axis(worth, items, 1), 0)),
    mask=mask,
    items=items,
    features=features.astype(np.float32),
    history=last_events(user[before], item[before], reward[before], users, history_length),
    users=users,
    params=params,
  )


def _with_negatives(worth: np.ndarray, met: np.ndarray, ratio: float, seed: int) -> np.ndarray:
  """Sets `ratio` times as many items that the user never met to 0, as far as there are any."""
  wanted = np.ceil(ratio * np.sum(~np.isnan(worth), axis=1)).astype(int)
  order = np.random.default_rng(seed).random(worth.shape, np.float32)
  # Items that were met sort last and are never taken.
  order[met] = np.inf
  rank = np.argsort(np.argsort(order, axis=1), axis=1)
  return np.where((rank < wanted[:, None]) & ~met, np.float32(0), worth)
