"""Which events models are asked to predict, and over what means of them are taken."""

from collections.abc import Mapping

import jax
import numpy as np

from rec_jax.data import split_protocols, splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import intervals, two_way
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs.config import Config
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries

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
    f'{average(config)}, {interval(config)}'
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


def are_items_sampled(config: Config) -> bool:
  """Whether only so few items are judged that others would tell something else."""
  return config.data.split == split_protocols.COLD_ITEM


def interval(config: Config) -> str:
  """That of `means`, for the protocol."""
  if are_items_sampled(config):
    return '95 % two-way bootstrap over users and items'
  return '95 % bootstrap over users'


def means(config: Config, asked: Queries, table: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
  """Name -> [S, Q], S seeds and Q queries, to means over users with intervals."""
  key = jax.random.key(config.seed)
  if are_items_sampled(config):
    queries = {name: values.mean(0) for name, values in table.items()}
    return two_way.user_macro(key, queries, asked.user, asked.target)
  return intervals.user_means(key, {name: asked.per_user(each) for name, each in table.items()})


def average(config: Config) -> str:
  """Over how many seeds a number is the mean."""
  return f'mean over {config.num_seeds} seeds' if config.num_seeds > 1 else 'one seed'
