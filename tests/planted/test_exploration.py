"""Exploration finds a hit that nobody had seen before the cut; exploitation alone never does."""

import numpy as np
import pytest

from rec_jax.runs.config import ExploreConfig
from rec_jax.stages.explore import policies, rollout_metrics, worlds
from rec_jax.stages.explore.policies import PolicyEntry
from tests.environments.test_visits import dense
from tests.planted import training, world

NUM_SEEDS = 4
# Visits of each user, as many as the events that everyone has after the cut.
NUM_VISITS = 9
THOMPSON = PolicyEntry('Thompson', 'bernoulli_ts')
UCB = PolicyEntry('UCB', 'popularity_ucb')


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """(the truth, the whole catalogue after the cut with popularity before it as the prior)."""
  truth = world.make(0, hit=True)
  return truth, catalogue_world(truth, tmp_path_factory.mktemp('hit'))


def catalogue_world(truth, directory):
  data = world.dataset(truth, directory)
  num_items = data.items.num_items
  return worlds.build(
    worlds.CATALOGUE,
    data.interactions,
    data.split.num_before,
    num_items,
    np.zeros((num_items, 1), np.float32),
    training.POSITIVE_RATING,
    data.interactions.num_users,
    ExploreConfig(min_events_catalogue=NUM_VISITS),
    0,
  )


def outcomes(entry, catalogue, settings):
  """One a setting."""
  trajectory = policies.run(entry, catalogue, settings, NUM_SEEDS, 0, 2e9)
  return rollout_metrics.split(trajectory, len(settings))


def exposures(outcome, item):
  """[S], how often an item was shown."""
  return (outcome.arm == item).sum(1)


def finds_the_hit(outcome, truth, catalogue):
  """In every run half of the users are shown the hit, and most of them choose it."""
  shown = outcome.arm == truth.hit
  assert shown.sum(1).min() > catalogue.spec.num_users / 2
  assert outcome.reward[shown].mean() > 0.7


def test_the_hit_is_planted(planted):
  truth, catalogue = planted
  assert catalogue.is_cold[truth.hit]
  rewards = dense(catalogue.data.rewards)
  liked = rewards[:, truth.hit].mean()
  assert liked > 0.8
  assert rewards[:, ~catalogue.is_cold].mean(0).max() < liked / 2


@pytest.mark.parametrize(
  'entry, strength, enough',
  [
    pytest.param(THOMPSON, 'scale', 1.0, marks=pytest.mark.soak, id='ts'),
    pytest.param(UCB, 'alpha', 6.0, id='ucb'),
  ],
)
def test_exploration_finds_the_hit_and_without_strength_does_not(planted, entry, strength, enough):
  truth, catalogue = planted
  exploring, exploiting = outcomes(entry, catalogue, [{strength: enough}, {strength: 0.0}])
  finds_the_hit(exploring, truth, catalogue)
  with pytest.raises(AssertionError):
    finds_the_hit(exploiting, truth, catalogue)
  assert exploring.reward.mean() > exploiting.reward.mean()


def test_greedy_never_shows_the_hit(planted):
  truth, catalogue = planted
  entry = policies.baseline(catalogue)
  (greedy,) = outcomes(entry, catalogue, [{}])
  assert exposures(greedy, truth.hit).max() == 0
