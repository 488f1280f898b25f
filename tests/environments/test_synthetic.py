"""Worlds of fresh arms: rewards at their stated means, drift that keeps its variance, regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments import nonstationary, synthetic
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec, Decision

SPEC = ArmSpec(num_arms=6, num_candidates=6, query_dim=4, arm_dim=4)
WEIGHTS = jnp.array([1.0, -1.5, 0.3, 0.8])
KEYS = jax.random.split(jax.random.key(0), 16)


def play(policy, environment, data, num_rounds):
  return rollout(KEYS, policy, environment, data, SPEC, num_rounds, return_state=True)


def regret(trajectory):
  metrics = trajectory.metrics
  return (metrics.best_expected_reward - metrics.expected_reward)[:, :, 0, 0].mean(0)


@pytest.mark.soak
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
  environment = nonstationary.drifting_environment(1)
  data = nonstationary.DriftingData(start, jnp.float32(0.0), jnp.float32(drift))
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


@pytest.mark.soak
def test_forgetting_pays_where_weights_wander():
  environment = nonstationary.drifting_environment(6)
  data = nonstationary.DriftingData(WEIGHTS, jnp.float32(0.05), jnp.float32(0.01))

  def make(settings):
    return bandits.make('lin_ucb', noise_variance=0.05, gamma=settings['gamma'])

  gamma = jnp.repeat(jnp.array([1.0, 0.95]), len(KEYS))
  metrics = rollout(
    jnp.tile(KEYS, 2), make, environment, data, SPEC, 800, settings={'gamma': gamma}
  ).metrics
  gap = (metrics.best_expected_reward - metrics.expected_reward).reshape(2, 16, 800)
  remembering, forgetting = gap[:, :, 400:].mean(axis=(1, 2))
  assert forgetting < 0.6 * remembering


def test_each_piece_has_its_own_weights_from_its_first_round_on():
  environment = nonstationary.piecewise_environment(6)
  weights = jnp.stack([WEIGHTS, -WEIGHTS, 2 * WEIGHTS])
  data = nonstationary.PiecewiseData(weights, jnp.array([3, 7]), jnp.float32(0.0))
  context = environment.observe(jax.random.key(1), data, (), 0)
  decision = Decision(jnp.zeros((1, 1), int), jnp.zeros((1, 1), int), jnp.ones((1, 1)))
  step = jax.jit(environment.step)
  for t, piece in ((0, 0), (2, 0), (3, 1), (6, 1), (7, 2), (100, 2)):
    _, feedback, metrics = step(jax.random.key(2), data, (), t, context, decision)
    expected = np.asarray(context.features[0]) @ np.asarray(weights)[piece]
    np.testing.assert_allclose(metrics.expected_reward, expected[:1, None], rtol=1e-5)
    np.testing.assert_allclose(metrics.best_expected_reward, expected.max(), rtol=1e-5)
    np.testing.assert_allclose(feedback.reward, expected[:1], rtol=1e-5)


def test_a_network_has_the_mean_and_the_variance_among_arms_of_their_closed_forms():
  first_key, second_key, key = jax.random.split(jax.random.key(3), 3)
  weights, output = jax.random.normal(first_key, (5, 4)), jax.random.normal(second_key, (5,))
  data = synthetic.NeuralData(weights, output, jnp.float32(0.7), jnp.float32(0.01))
  environment = synthetic.neural_environment(50_000)
  index = np.arange(50_000)[None]

  @jax.jit
  def play(key):
    context = environment.observe(key, data, (), 0)
    decision = Decision(index, index, jnp.ones(index.shape))
    return context, environment.step(key, data, (), 0, context, decision)[2]

  context, metrics = jax.device_get(play(key))
  mean = np.asarray(metrics.expected_reward[0])
  by_hand = (
    np.maximum(np.asarray(context.features[0], float) @ np.asarray(weights).T, 0)
    @ np.asarray(output)
    + 0.7
  )
  np.testing.assert_allclose(mean, by_hand, atol=1e-5)
  # Of 50,000 arms the variance is known to about 1 %.
  expected, variance = map(float, jax.jit(synthetic.neural_moments)(weights, output))
  assert np.mean(mean) - 0.7 == pytest.approx(expected, abs=4 * np.sqrt(variance / 50_000))
  assert np.var(mean) == pytest.approx(variance, rel=0.05)
  assert np.var(metrics.reward[0] - mean) == pytest.approx(0.01, rel=0.05)
