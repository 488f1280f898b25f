"""Synthetic worlds: rewards at their stated means, drift that keeps its variance, regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments import synthetic
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec

SPEC = ArmSpec(num_arms=6, num_candidates=6, query_dim=4, arm_dim=4)
WEIGHTS = jnp.array([1.0, -1.5, 0.3, 0.8])
KEYS = jax.random.split(jax.random.key(0), 16)


def play(policy, environment, data, num_rounds):
  return rollout(KEYS, policy, environment, data, SPEC, num_rounds, return_state=True)


def regret(trajectory):
  metrics = trajectory.metrics
  return (metrics.best_expected_reward - metrics.expected_reward)[:, :, 0, 0].mean(0)


def test_logistic_rewards_have_their_means_and_regret_falls():
  environment = synthetic.logistic_environment(6)
  data = synthetic.LogisticData(3 * WEIGHTS)
  by_policy = {
    name: play(bandits.make(name), environment, data, 600) for name in ('uniform', 'logistic_ucb')
  }
  metrics = by_policy['uniform'].metrics
  reward, mean = metrics.reward.ravel(), metrics.expected_reward.ravel()
  assert set(np.unique(reward)) == {0, 1}
  assert 0 < mean.min() < mean.max() < 1
  # By thirds of the mean, within four standard errors; a mean that is 1.5 times as large is not.
  for third in np.array_split(np.argsort(mean), 3):
    error = np.sqrt(np.mean(mean[third] * (1 - mean[third])) / len(third))
    assert abs(np.mean(reward[third] - mean[third])) < 4 * error
    assert abs(np.mean(reward[third] - 1.5 * mean[third])) > 4 * error
  uniform, ucb = (regret(trajectory) for trajectory in by_policy.values())
  assert uniform[-150:].mean() > 0.9 * uniform[:150].mean()
  assert ucb[-150:].mean() < 0.5 * ucb[:150].mean()
  assert ucb[-150:].mean() < 0.1 * uniform[-150:].mean()


def test_drifting_weights_keep_their_variance_and_lose_what_they_were():
  drift = 0.01
  start = jnp.ones(512)
  environment = synthetic.drifting_environment(1)
  data = synthetic.DriftingData(start, jnp.float32(0.0), jnp.float32(drift))
  spec = ArmSpec(num_arms=1, num_candidates=1, query_dim=512, arm_dim=512)
  weights = rollout(
    KEYS[:8], bandits.make('uniform'), environment, data, spec, 100, return_state=True
  ).env_state
  assert weights.shape == (8, 512)
  # Of 4,096 entries: the mean is known to 0.013, the variance around it to 0.015.
  kept = (1 - drift) ** (100 / 2)
  assert np.mean(weights) == pytest.approx(kept, abs=0.06)
  assert np.var(weights) == pytest.approx(1 - kept**2, abs=0.06)
  # Each seed wanders by itself.
  assert abs(np.corrcoef(np.asarray(weights))[0, 1]) < 0.2


def test_forgetting_pays_where_weights_wander():
  environment = synthetic.drifting_environment(6)
  data = synthetic.DriftingData(WEIGHTS, jnp.float32(0.05), jnp.float32(0.01))

  def make(settings):
    return bandits.make('lin_ucb', noise_variance=0.05, gamma=settings['gamma'])

  gamma = jnp.repeat(jnp.array([1.0, 0.95]), len(KEYS))
  metrics = rollout(
    jnp.tile(KEYS, 2), make, environment, data, SPEC, 800, settings={'gamma': gamma}
  ).metrics
  gap = (metrics.best_expected_reward - metrics.expected_reward).reshape(2, 16, 800)
  remembering, forgetting = gap[:, :, 400:].mean(axis=(1, 2))
  assert forgetting < 0.6 * remembering
