"""The whole catalogue: anything that the user has not rated or been shown may be recommended."""

from typing import Any

import numpy as np

from rec_jax.environments.sparse_rows import sparse_rows
from rec_jax.environments.visits import (
  VisitData,
  check_events,
  compact_rewards,
  last_events,
  rows_of,
  stream_visits,
)


def catalogue_data(
  user: np.ndarray,
  item: np.ndarray,
  reward: np.ndarray,
  num_before: int,
  features: np.ndarray,
  *,
  min_events: int = 20,
  num_visits: int = 20,
  history_length: int = 50,
  params: Any = None,
) -> VisitData:
  """Builds the environment in which every item is a candidate.

  The reward of an item is what the user gave it after the cut, and 0 where the user never met it:
  unknown counts as disliked, which favours what people find by themselves.

  Args:
    user: [E] int, in time order.
    item: [E] int in [0, N).
    reward: [E] float, 1 for a positive event and 0 for another.
    num_before: events before the cut.
    features: [N, F] float32.
    min_events: users with fewer events after the cut do not visit.
    num_visits: visits of each user, at the times of the first events after the cut.
    history_length: H, events of the user that an encoder sees.
    params: of the encoder of users.

  Returns:
    Data for `visit_environment`, with K = N.

  Raises:
    InputError: columns that disagree, a cut outside, or nobody with enough events.
  """
  user, item, reward, features = (np.asarray(x) for x in (user, item, reward, features))
  check_events(user, item, reward, num_before, features)
  before, after = slice(num_before), slice(num_before, None)
  users, visits = stream_visits(
    user[after], min_events, lambda count: np.minimum(count, num_visits)
  )
  row, known = rows_of(users, user)
  early, later = known & (np.arange(len(user)) < num_before), known.copy()
  later[before] = False
  shape = len(users), len(features)
  return VisitData(
    visits=visits,
    # Of millions of users and items a table of all pairs has no place anywhere.
    rewards=sparse_rows(row[later], item[later], compact_rewards(reward[later]), shape, 0),
    mask=sparse_rows(row[early], item[early], np.zeros(early.sum(), bool), shape, True),
    items=None,
    features=features.astype(np.float32),
    history=last_events(user[before], item[before], reward[before], users, history_length),
    users=users,
    params=params,
    most_visits=int(np.bincount(visits).max()),
  )
