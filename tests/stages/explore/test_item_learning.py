"""When a new item is known, against a plain loop over rounds, and what may be new at all."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.policy import combine
from rec_jax.environments.rollout import rollout
from rec_jax.stages.explore import item_learning, worlds
from tests.environments.test_visits import dense
from tests.helpers import small
from tests.stages.explore.test_worlds import BEFORE, N, build, stream

NUM_RUNS, NUM_LOGGED, FEWEST_JUDGES = 3, 8, 6


@pytest.fixture
def new(monkeypatch):
  """Of random ratings, a third of the items new."""
  monkeypatch.setattr(item_learning, 'NUM_LOGGED', NUM_LOGGED)
  monkeypatch.setattr(item_learning, 'FEWEST_JUDGES', FEWEST_JUDGES)
  monkeypatch.setattr(item_learning, '_NUM_PROBES', 10)
  return item_learning.select(small_world(), 0)


def small_world():
  world = small.rated()[0]
  is_new = np.arange(len(world.is_cold)) % 3 == 0
  prior = {name: jnp.where(is_new, 1.0, getattr(world, name)) for name in ('a0', 'b0')}
  return dataclasses.replace(world, is_cold=is_new, **prior)


def candidates(world):
  """For each user: item -> reward."""
  items, mask, rewards = (np.asarray(getattr(world.data, x)) for x in ('items', 'mask', 'rewards'))
  return [
    dict(zip(row[known].tolist(), worth[known].tolist(), strict=True))
    for row, known, worth in zip(items, mask, rewards, strict=True)
  ]


def test_new_are_cold_items_that_enough_visitors_and_judges_know(new):
  world = small_world()
  told, judges = candidates(world), np.flatnonzero(new.judges)
  assert len(judges) == len(told) // 3
  expected = []
  for item in np.flatnonzero(world.is_cold):
    who = [user for user, rewards in enumerate(told) if item in rewards]
    by_judges = np.isin(who, judges).sum()
    if by_judges >= FEWEST_JUDGES and len(who) - by_judges >= NUM_LOGGED:
      expected.append(item)
  assert new.items.tolist() == expected and 2 < len(expected) < world.is_cold.sum()
  for user, rewards in enumerate(told):
    for column, item in enumerate(new.items):
      assert new.known[user, column] == (item in rewards)
      assert new.rewards[user, column] == rewards.get(item, 0)
  before, after = (np.asarray(x.data.visits) for x in (world, new.world))
  np.testing.assert_array_equal(after, before[~np.isin(before, judges)])


def test_an_item_is_known_from_when_on_its_error_stays_below_that_of_a_log(new):
  belief = beta_bernoulli(new.world.a0, new.world.b0)
  found = item_learning.learn(new, belief, uniform(), NUM_RUNS, 3, 2e9)
  bar_key, run_key = jax.random.split(jax.random.key(3))
  every = new.world.num_rounds // 10
  assert found.num_rounds == every * 10 > every
  arms, rewards = (
    np.asarray(x)[:, :, 0, 0]
    for x in _played(new, belief, jax.random.split(run_key, NUM_RUNS), found.num_rounds)
  )
  logged = item_learning.predictions_after_log(bar_key, new, belief)
  for column, item in enumerate(new.items):
    judging = new.judges & new.known[:, column]
    truth = new.rewards[judging, column]
    bar = np.mean([((p - truth) ** 2).mean() for p in logged[:, column]])
    for run in range(NUM_RUNS):
      good, shown = [], []
      for time in range(0, found.num_rounds + 1, every):
        told = rewards[run, :time][arms[run, :time] == item]
        prediction = (1 + told.sum()) / (2 + len(told))
        good.append(((prediction - truth) ** 2).mean() <= bar + 1e-7)
        shown.append(len(told))
      first = len(good)
      while first and good[first - 1]:
        first -= 1
      is_known = first < len(good)
      assert found.is_known[run, column] == is_known
      assert found.rounds[run, column] == (first * every if is_known else found.num_rounds)
      assert found.impressions[run, column] == (shown[first] if is_known else shown[-1])
  # Both happen, or nothing would have been tested.
  assert 0.1 < found.is_known.mean() < 0.95
  late = found.is_known & (found.rounds > 0)
  assert late.any() and not found.is_known_after(0)[late].any()
  np.testing.assert_array_equal(found.is_known_after(1), found.is_known)


def _played(new, belief, keys, num_rounds):
  world = new.world
  metrics = rollout(
    keys, combine(belief, uniform()), world.environment, world.data, world.spec, num_rounds
  ).metrics
  return metrics.arm_id, metrics.reward


def test_a_log_is_of_so_many_visitors_and_of_no_judge(new, monkeypatch):
  column = int(np.argmin((new.known & ~new.judges[:, None]).sum(0)))
  telling = new.known[:, column] & ~new.judges
  one = dataclasses.replace(
    new,
    items=new.items[[column]],
    # What judges say would be seen at once.
    rewards=np.where(new.judges[:, None], 100, new.rewards[:, [column]]).astype(np.float32),
    known=new.known[:, [column]],
  )
  # All of them, so that every draw is the same.
  monkeypatch.setattr(item_learning, 'NUM_LOGGED', int(telling.sum()))
  belief = beta_bernoulli(new.world.a0, new.world.b0)
  logged = item_learning.predictions_after_log(jax.random.key(0), one, belief)
  expected = (1 + new.rewards[telling, column].sum()) / (2 + telling.sum())
  np.testing.assert_allclose(logged, expected, rtol=1e-5)


@pytest.mark.parametrize('name', item_learning.BELIEFS)
def test_each_belief_learns_from_a_log(new, name):
  logged = item_learning.predictions_after_log(
    jax.random.key(0), new, item_learning.belief_of(name, new.world)
  )
  telling = new.known & ~new.judges[:, None]
  mean = (telling * new.rewards).sum(0) / telling.sum(0)
  prior = 0.5
  assert np.corrcoef(logged.mean(0), mean)[0, 1] > 0.8
  assert np.abs(logged.mean(0) - mean).mean() < np.abs(prior - mean).mean()


def test_as_if_new_takes_off_what_was_before_the_cut_alone():
  is_new = np.arange(N) == 0
  kept, num_before = item_learning.as_if_new(stream(), len(BEFORE), is_new)
  assert num_before == 2 and kept.item[:2].tolist() == [1, 2]
  np.testing.assert_array_equal(kept.item[2:], stream().item[len(BEFORE) :])
  np.testing.assert_array_equal(kept.rating[2:], stream().rating[len(BEFORE) :])
  same, number = item_learning.as_if_new(stream(ratings=False), len(BEFORE), np.zeros(N, bool))
  assert (same.num_events, number, same.rating) == (stream().num_events, len(BEFORE), None)


@pytest.mark.parametrize('name', [worlds.CATALOGUE, worlds.RATED])
def test_where_few_know_a_cold_item_none_is_new(name):
  world = build(name)
  for is_cold in (world.is_cold, np.zeros(N, bool)):
    new = item_learning.select(dataclasses.replace(world, is_cold=is_cold), 0)
    assert len(new.items) == 0
    assert new.described().startswith('0 new items that 20 visitors and 10 judges can tell of, ')


def test_in_the_whole_catalogue_what_was_not_met_is_known(monkeypatch):
  monkeypatch.setattr(item_learning, 'NUM_LOGGED', 1)
  monkeypatch.setattr(item_learning, 'FEWEST_JUDGES', 0)
  world = build(worlds.CATALOGUE)
  new = item_learning.select(world, 0)
  assert new.items.tolist() == [3, 4, 5]
  np.testing.assert_array_equal(new.rewards, dense(world.data.rewards)[:, 3:])
  np.testing.assert_array_equal(new.known, dense(world.data.mask)[:, 3:])
