"""Which events models are asked to predict, in words, for the protocol of a row."""

import numpy as np

from rec_jax.data import split_protocols, splits
from rec_jax.data.dataset import Dataset
from rec_jax.runs.config import Config
from rec_jax.tasks import full_ranking

# What a protocol of `data.split_protocols` has models predict, around the cut.
JUDGED = {
  split_protocols.LEAVE_LAST: ('the last event before', ''),
  split_protocols.GLOBAL_TIME: ('the first event after', ''),
  split_protocols.RANDOM_RATIO: (
    'a tenth, drawn at random, of the events before',
    ', averaged within each user',
  ),
  split_protocols.COLD_USER: ('the last event before', ', for users with no event trained on'),
  split_protocols.COLD_ITEM: ('the last event before', ', of those on items held out of training'),
}


def described(config: Config, dataset: Dataset) -> str:
  """The test events of a split, who competes with their items, and how means are made."""
  data, (event, condition) = config.data, JUDGED[config.data.split]
  return (
    f'{event} the cut at {data.cut:.0%} of each user with at least {data.min_events} before '
    f'it{condition} (split {data.split}), among all {dataset.items.num_items:,} items, '
    f'{full_ranking.excluded(dataset.interactions)}, models fitted on training events alone, of '
    f'which {splits.younger_share(dataset.split):.0%} are younger than the event to predict, '
    f'{average(config)}, 95 % bootstrap over users'
  )


def sampled(config: Config, dataset: Dataset, events: np.ndarray) -> tuple[np.ndarray, str]:
  """Those of the events to predict that are judged, and how they were sampled, for the protocol.

  Args:
    config: with more than 0 in `num_test_users` only the events of so many users are judged, who
      are drawn by its seed.
    dataset: of the stage `prepare`.
    events: of all users.

  Returns:
    The events, in their order, and what to add to `described`; nothing where all are judged.
  """
  user = dataset.interactions.user[events]
  users, number = np.unique(user), config.num_test_users
  if not number or len(users) <= number:
    return events, ''
  chosen = np.random.default_rng((config.seed, 12)).choice(users, number, replace=False)
  said = f', for a random sample of {number:,} of the {len(users):,} users (seed {config.seed})'
  return events[np.isin(user, chosen)], said


def average(config: Config) -> str:
  """Over how many seeds a number is the mean."""
  return f'mean over {config.num_seeds} seeds' if config.num_seeds > 1 else 'one seed'
