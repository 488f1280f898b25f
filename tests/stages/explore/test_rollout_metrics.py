"""Numbers of a rollout against plain loops."""

import types

import numpy as np
import pytest

from rec_jax.environments.base import Metrics
from rec_jax.stages.explore import rollout_metrics

S, U, N, T = 3, 4, 30, 200
VISITS = np.random.default_rng(0).integers(0, U, T)
IS_NEW, IS_COLD = np.array([True, False, False, True]), np.arange(N) % 3 == 0


@pytest.fixture
def world():
  return types.SimpleNamespace(
    data=types.SimpleNamespace(visits=VISITS), is_new=IS_NEW, is_cold=IS_COLD
  )


@pytest.fixture
def outcome():
  rng = np.random.default_rng(1)
  reward = rng.integers(0, 2, (S, T)).astype(np.float32)
  arm = np.minimum(rng.geometric(0.1, (S, T)) - 1, N - 1)
  arm[:, -3:] = -1
  return rollout_metrics.Outcome(reward, np.maximum(reward, 0.5), arm)


def user_mean(values, user):
  return np.mean([values[t] for t in range(T) if VISITS[t] == user])


def test_means_are_of_the_visits_of_each_user(world, outcome):
  expected = [[user_mean(row, user) for user in range(U)] for row in outcome.reward]
  np.testing.assert_allclose(rollout_metrics.per_user(world, outcome.reward), expected)


def test_every_number_is_that_of_a_loop(world, outcome):
  described = rollout_metrics.describe(world, outcome, 0)
  reward = np.array([[user_mean(row, u) for u in range(U)] for row in outcome.reward]).mean(0)
  np.testing.assert_allclose(described['user_reward'], reward)
  np.testing.assert_allclose(described['reward']['value'], reward.mean())
  assert described['reward']['low'] < reward.mean() < described['reward']['high']
  np.testing.assert_allclose(described['reward_new_users']['value'], reward[IS_NEW].mean())
  assert (described['reward']['n'], described['reward_new_users']['n']) == (U, 2)
  cold = np.array([[arm >= 0 and IS_COLD[arm] for arm in row] for row in outcome.arm])
  share = np.array([[user_mean(row, u) for u in range(U)] for row in cold]).mean(0)
  np.testing.assert_allclose(described['cold_share']['value'], share.mean())
  np.testing.assert_allclose(described['cold_share_new_users']['value'], share[IS_NEW].mean())
  # Where items are a sample too, the lesser number says how much is known.
  items = len(np.unique(outcome.arm))
  assert described['cold_share']['n'] == min(U, items)
  assert described['cold_share']['low'] < share.mean() < described['cold_share']['high']
  regret = outcome.best - outcome.reward
  mean_regret = np.mean([[user_mean(row, u) for u in range(U)] for row in regret])
  np.testing.assert_allclose(described['regret']['value'], mean_regret, rtol=1e-6)
  for suffix, rounds in (('', np.ones(T, bool)), ('_new_users', IS_NEW[VISITS])):
    counts = [[list(row[rounds]).count(item) for item in range(N)] for row in outcome.arm]
    distinct = [sum(count > 0 for count in row) for row in counts]
    often = [sum(count >= 10 for count in row) for row in counts]
    assert described[f'distinct_items{suffix}']['value'] == pytest.approx(np.mean(distinct))
    assert described[f'items_10_exposures{suffix}']['value'] == pytest.approx(np.mean(often))
  assert rollout_metrics.items_with_ten_exposures(world, outcome).tolist() == [
    sum(list(row).count(item) >= 10 for item in range(N)) for row in outcome.arm
  ]


def test_curves_are_running_means_and_sums(world, outcome):
  curve = rollout_metrics.describe(world, outcome, 0)['curve']
  assert curve['round'][0] == 1
  assert curve['round'][-1] == T
  for place, t in enumerate(curve['round']):
    mean = outcome.reward[:, :t].mean()
    np.testing.assert_allclose(curve['reward']['value'][place], mean, rtol=1e-5)
    lost = (outcome.best - outcome.reward)[:, :t].sum(1).mean()
    np.testing.assert_allclose(curve['regret']['value'][place], lost, rtol=1e-5, atol=1e-6)


def test_without_new_users_nothing_is_said_of_them(world, outcome):
  world.is_new = np.zeros(U, bool)
  assert not any('new_users' in name for name in rollout_metrics.describe(world, outcome, 0))


def test_without_cold_items_nothing_is_said_of_them(world, outcome):
  with_cold = rollout_metrics.describe(world, outcome, 0)
  world.is_cold = np.zeros(N, bool)
  without = rollout_metrics.describe(world, outcome, 0)
  assert with_cold.keys() - without.keys() == {'cold_share', 'cold_share_new_users'}
  # The others are resampled as before.
  assert without == {name: with_cold[name] for name in without}


def test_a_share_of_exposure_on_one_item_says_nothing_of_others(world):
  arm = np.zeros((S, T), int)
  reward = np.zeros((S, T), np.float32)
  described = rollout_metrics.describe(world, rollout_metrics.Outcome(reward, reward, arm), 0)
  share = described['cold_share']
  assert share['value'] == pytest.approx(1)
  assert (share['low'], share['n']) == (None, 1)


def test_seeds_that_agree_have_no_interval(world, outcome):
  same = rollout_metrics.Outcome(*(np.repeat(x[:1], S, axis=0) for x in vars(outcome).values()))
  described = rollout_metrics.describe(world, same, 0)
  assert described['distinct_items']['low'] is None
  assert described['reward']['low'] is not None


def test_the_paired_difference_is_of_users():
  rng = np.random.default_rng(2)
  base = rng.normal(size=400)
  better = {'user_reward': (base + 0.1 + rng.normal(scale=0.01, size=400)).tolist()}
  difference = rollout_metrics.paired(better, {'user_reward': base.tolist()}, 0)
  assert difference['low'] < 0.1 < difference['high'] and difference['n'] == 400
  # Unpaired, an interval would be some seventy times as wide.
  assert difference['high'] - difference['low'] < 0.005
  same = rollout_metrics.paired(better, better, 0)
  assert (same['low'], same['value'], same['high']) == (0, 0, 0)


def test_settings_are_split_in_order():
  shape = (2 * S, T, 1, 1)
  values = np.broadcast_to(np.arange(2 * S)[:, None, None, None], shape)
  metrics = Metrics(
    reward=values, expected_reward=values, best_expected_reward=values, arm_id=values, user_id=None
  )
  first, second = rollout_metrics.split(types.SimpleNamespace(metrics=metrics), 2)
  np.testing.assert_array_equal(first.reward, np.arange(S)[:, None] * np.ones((S, T)))
  np.testing.assert_array_equal(second.arm, np.arange(S, 2 * S)[:, None] * np.ones((S, T)))
