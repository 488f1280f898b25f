"""A taste that moves with what is shown: two steps by hand, and what they do in the long run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.rollout import rollout
from rec_jax.environments.taste import TasteData, taste_environment
from rec_jax.types import ArmSpec, Decision

KEY = jax.random.key(0)


@jax.jit
def show(data, taste, *items):
  environment = taste_environment()
  context = environment.observe(KEY, data, taste, 0)
  chosen = jnp.array([items])
  decision = Decision(chosen, chosen, jnp.ones(chosen.shape))
  return environment.step(KEY, data, taste, 0, context, decision)


@pytest.mark.parametrize(
  ('taste_step', 'first', 'second'),
  [
    # (1, 0) + 0.5 * 0.6 * (0.6, 0.8) = (1.18, 0.24); of that, + 0.5 * 0.24 * (0, 1) = (1.18, 0.36).
    (0.5, (1.18, 0.24), (1.18, 0.36)),
    # (1, 0) - 0.5 * 0.6 * (0.6, 0.8) = (0.82, -0.24); then - 0.5 * -0.24 * (0, 1) = (0.82, -0.12).
    (-0.5, (0.82, -0.24), (0.82, -0.12)),
  ],
)
def test_two_steps_by_hand(taste_step, first, second):
  items = jnp.array([[0.6, 0.8], [0.0, 1.0]])
  data = TasteData(items, jnp.float32(0.0), jnp.float32(taste_step))
  taste, feedback, metrics = show(data, jnp.array([1.0, 0.0]), 0)
  assert metrics.expected_reward[0, 0] == feedback.reward[0] == pytest.approx(0.6)
  assert metrics.best_expected_reward[0, 0] == pytest.approx(0.6)
  np.testing.assert_allclose(taste, np.array(first) / np.linalg.norm(first), rtol=1e-6)
  taste, feedback, metrics = show(data, taste, 1)
  assert feedback.reward[0] == pytest.approx(first[1] / np.linalg.norm(first))
  np.testing.assert_allclose(taste, np.array(second) / np.linalg.norm(second), rtol=1e-6)


def test_a_position_without_an_item_earns_and_moves_nothing():
  items = jnp.array([[0.6, 0.8], [0.0, 1.0]])
  data = TasteData(items, jnp.float32(0.3), jnp.float32(0.5))
  taste = jnp.array([1.0, 0.0])
  alone, _, _ = show(data, taste, 0)
  moved, feedback, metrics = show(data, taste, 0, -1)
  np.testing.assert_array_equal(moved, alone)
  np.testing.assert_array_equal(feedback.weight, [1, 0])
  for values in (metrics.reward, metrics.expected_reward):
    assert values[0, 0] > values[0, 1] == 0


def test_attraction_rewards_sticking_to_an_item_and_satiation_punishes_it():
  items = jax.random.normal(jax.random.key(1), (6, 4))
  items /= jnp.linalg.norm(items, axis=1, keepdims=True)
  spec = ArmSpec(num_arms=6, num_candidates=6, query_dim=1, arm_dim=4)
  keys = jax.random.split(jax.random.key(2), 16)
  policy, environment = bandits.make('lin_ucb', alpha=0.1), taste_environment()
  reward = {}
  for taste_step in (0.0, 0.2, -0.2):
    data = TasteData(items, jnp.float32(0.01), jnp.float32(taste_step))
    trajectory = rollout(keys, policy, environment, data, spec, 200, return_state=True)
    np.testing.assert_allclose(np.linalg.norm(trajectory.env_state, axis=1), 1, rtol=1e-5)
    reward[taste_step] = trajectory.metrics.expected_reward[:, 100:].mean()
  assert reward[0.2] > 0.95
  assert reward[-0.2] < 0.5 * reward[0.0] < 0.5 * reward[0.2]
