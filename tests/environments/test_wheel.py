"""The wheel: means by quadrant, and the regret of uniform in closed form."""

import jax
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.rollout import rollout
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment, wheel_means
from rec_jax.types import ArmSpec

SPEC = ArmSpec(NUM_ARMS, NUM_ARMS, query_dim=2, arm_dim=ARM_DIM)


@pytest.mark.parametrize(
  ('point', 'high'),
  [
    ((0.3, 0.3), None),
    ((0.6, 0.6), 1),
    ((0.6, -0.6), 2),
    ((-0.6, 0.6), 3),
    ((-0.6, -0.6), 4),
  ],
)
def test_only_the_arm_of_the_quadrant_is_high_outside_the_inner_disc(point, high):
  expected = np.array([1.2, 1, 1, 1, 1])
  if high is not None:
    expected[high] = 50
  np.testing.assert_allclose(wheel_means(WheelData(), np.array(point)), expected)


def test_regret_of_uniform_is_the_closed_form_and_a_linear_policy_beats_it():
  data = WheelData(disc_radius=0.5)
  keys = jax.random.split(jax.random.key(0), 16)
  gaps = {}
  for name in ('uniform', 'lin_ucb'):
    metrics = rollout(keys, bandits.make(name), wheel_environment(), data, SPEC, 1000).metrics
    gaps[name] = metrics.best_expected_reward - metrics.expected_reward
    assert np.std(metrics.reward - metrics.expected_reward) == pytest.approx(0.01, rel=0.05)
  inner = data.disc_radius**2
  of_uniform = inner * 0.8 * (1.2 - 1) + (1 - inner) * (50 - (1.2 + 50 + 3 * 1) / 5)
  error = gaps['uniform'].std() / np.sqrt(gaps['uniform'].size)
  assert abs(gaps['uniform'].mean() - of_uniform) < 4 * error
  assert abs(gaps['uniform'].mean() - 1.5 * of_uniform) > 4 * error
  assert gaps['lin_ucb'][:, -250:].mean() < 0.3 * of_uniform
