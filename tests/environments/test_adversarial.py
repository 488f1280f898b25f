"""An adversary's tables: hindsight regret by brute force, and who is led astray by which."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.adversarial import (
  AdversarialData,
  adversarial_environment,
  lower_bound_chances,
  rewards_against_ucb1,
  switching_rewards,
)
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec

NUM_ROUNDS = 1_600
KEYS = jax.random.split(jax.random.key(0), 24)


# The same objects, for which nothing is compiled again.
made, world = functools.cache(bandits.make), functools.cache(adversarial_environment)


def play(name, table, is_drawn=False, slate_size=1, keys=KEYS, **values):
  num_rounds, num_arms = table.shape
  spec = ArmSpec(num_arms, num_arms, 1, num_arms, slate_size)
  policy, data = made(name, **values), AdversarialData(jnp.asarray(table))
  return rollout(keys, policy, world(num_arms, is_drawn), data, spec, num_rounds, return_state=True)


def regret(out):
  """[S, T] of a rollout, up to each round."""
  return np.cumsum(out.metrics.best_expected_reward - out.metrics.reward, 1)[:, :, 0].sum(-1)


@pytest.mark.parametrize('slate_size', [pytest.param(1, marks=pytest.mark.soak), 2])
def test_the_best_is_that_of_brute_force_over_fixed_sets_after_every_round(slate_size):
  table = np.random.default_rng(0).random((40, 3)).astype(np.float32)
  out = play('uniform', table, slate_size=slate_size)
  for seed in range(2):
    rewards = table[:, np.asarray(out.env_state.order)[seed]]
    arms = out.metrics.arm_id[seed, :, 0]
    np.testing.assert_allclose(
      out.metrics.reward[seed, :, 0], np.take_along_axis(rewards, arms, axis=1), rtol=1e-6
    )
    # A set of arms that is fixed beforehand earns the sum of its columns.
    best = np.sort(np.cumsum(rewards, axis=0), axis=1)[:, ::-1][:, :slate_size].sum(1)
    earned = np.cumsum(out.metrics.reward[seed, :, 0].sum(1))
    np.testing.assert_allclose(regret(out)[seed], best - earned, rtol=1e-4, atol=1e-4)
  assert len({tuple(order) for order in np.asarray(out.env_state.order)}) == 6


@pytest.mark.soak
def test_drawn_rewards_are_those_of_a_seed_whatever_is_chosen():
  chances = lower_bound_chances(200, 2)
  keys = jax.random.split(KEYS[0], 512)
  one, other = (play(name, chances, True, keys=keys) for name in ('uniform', 'popularity_greedy'))
  np.testing.assert_array_equal(one.env_state.totals, other.env_state.totals)
  same = one.metrics.arm_id == other.metrics.arm_id
  np.testing.assert_array_equal(one.metrics.reward[same], other.metrics.reward[same])
  assert 0.2 < same.mean() < 0.8
  totals = np.asarray(one.env_state.totals) / 200
  good = np.take_along_axis(totals, np.argmin(one.env_state.order, 1)[:, None], 1)
  # epsilon = sqrt(2 / 200) / 4 = 0.025, of 512 seeds of 200 coins.
  error = 4 * 0.5 / np.sqrt(512 * 200)
  assert good.mean() == pytest.approx(0.525, abs=error)
  assert good.mean() != pytest.approx(0.5 + 1.5 * 0.025, abs=error)
  assert set(np.unique(one.metrics.reward)) == {0, 1}


def tuned(num_rounds, num_arms):
  """Auer's gamma for g = T (corollary 3.2), and the bound that it gives."""
  gamma = min(1, np.sqrt(num_arms * np.log(num_arms) / ((np.e - 1) * num_rounds)))
  bound = 2 * np.sqrt((np.e - 1) * num_rounds * num_arms * np.log(num_arms))
  return {'mixing': gamma, 'learning_rate': gamma / num_arms}, bound


@pytest.mark.parametrize(
  ('table', 'fooled'),
  [(rewards_against_ucb1, 'ucb1'), (switching_rewards, 'popularity_greedy')],
)
def test_exp3_keeps_its_bound_where_others_have_linear_regret(table, fooled):
  values, bound = tuned(NUM_ROUNDS, 2)
  table = table(NUM_ROUNDS, 2)
  assert regret(play('exp3', table, **values))[:, -1].mean() < bound
  led_astray = regret(play(fooled, table))[:, -1]
  # Half of the rounds, of every seed, and so linear in them: the bound is a fifth of that.
  np.testing.assert_allclose(led_astray, NUM_ROUNDS / 2, rtol=0.02)


def test_the_best_of_the_lower_bound_pays_three_times_in_four_at_most():
  # min(sqrt(K / T), 1) / 4 above a half: of 16 rounds and 4 arms an eighth, of 2 and 8 a quarter.
  assert lower_bound_chances(16, 4)[0].tolist() == [0.625, 0.5, 0.5, 0.5]
  assert lower_bound_chances(2, 8)[1].tolist() == [0.75, *[0.5] * 7]


def test_nobody_beats_the_lower_bound_and_exp3_keeps_its_own():
  chances = lower_bound_chances(NUM_ROUNDS, 2)
  values, bound = tuned(NUM_ROUNDS, 2)
  found = regret(play('exp3', chances, True, **values))[:, -1].mean()
  assert np.sqrt(2 * NUM_ROUNDS) / 20 < found < bound


@pytest.mark.soak
def test_nor_does_ucb1_beat_it():
  chances = lower_bound_chances(NUM_ROUNDS, 2)
  assert np.sqrt(2 * NUM_ROUNDS) / 20 < regret(play('ucb1', chances, True))[:, -1].mean()
