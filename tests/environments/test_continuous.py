"""Continuous actions: rewards by hand, the error of the grid, and what a policy makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.continuous import ContinuousData, action_rewards, continuous_environment
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec

NUM = 32
SPEC = ArmSpec(NUM, NUM, query_dim=2, arm_dim=1)
KEYS = jax.random.split(jax.random.key(0), 16)


@pytest.mark.parametrize(
  ('width', 'expected'), [(1.0, [0.7, 0.9, 1.0, 0.5]), (0.2, [0.0, 0.5, 1.0, 0.0])]
)
def test_rewards_fall_from_the_best_action(width, expected):
  got = action_rewards(jnp.array([0.1, 0.3, 0.4, 0.9]), 0.4, width)
  np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize('width', [1.0, 0.1])
def test_the_best_candidate_is_as_near_to_the_best_action_as_is_said(width):
  best = np.random.default_rng(0).uniform(size=2_000)
  grid = (np.arange(NUM) + 0.5) / NUM
  reached = jax.vmap(action_rewards, (None, 0, None))(jnp.asarray(grid), jnp.asarray(best), width)
  lost = 1 - np.asarray(reached).max(axis=1)
  assert lost.max() <= 1 / (2 * NUM * width) + 1e-6
  # It is reached half way between two candidates, and no smaller bound holds.
  assert lost.max() > 0.95 / (2 * NUM * width)


@pytest.mark.soak
def test_each_seed_has_its_truth_and_a_tree_finds_it():
  environment = continuous_environment(NUM, 2)
  data = ContinuousData(jnp.float32(1.0), jnp.float32(0.1))
  play = {
    name: rollout(KEYS, bandits.make(name), environment, data, SPEC, 2_000, return_state=True)
    for name in ('uniform', 'cats')
  }
  assert len(np.unique(play['uniform'].env_state)) == 32
  metrics = play['uniform'].metrics
  assert np.std(metrics.reward - metrics.expected_reward) == pytest.approx(0.1, rel=0.03)
  late = {
    name: np.mean((each.metrics.best_expected_reward - each.metrics.expected_reward)[:, -500:])
    for name, each in play.items()
  }
  assert late['cats'] < 0.6 * late['uniform']
