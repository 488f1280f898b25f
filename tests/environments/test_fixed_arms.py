"""Arms that stay: each seed's own truth, uniform's regret in closed form, rewards of their kind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from rec_jax import bandits
from rec_jax.environments.fixed_arms import (
  ArmsData,
  FixedLinearData,
  FixedLogisticData,
  arms_environment,
  fixed_linear_environment,
  fixed_logistic_environment,
)
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec

KEYS = jax.random.split(jax.random.key(0), 64)


def play(environment, data, spec, num_rounds=200, name='uniform'):
  out = rollout(KEYS, bandits.make(name), environment, data, spec, num_rounds, return_state=True)
  return out.metrics, out.env_state


def test_given_means_are_those_of_every_seed():
  data = ArmsData(jnp.array([0.2, 0.9, 0.5]), None)
  metrics, truth = play(arms_environment(3), data, ArmSpec(3, 3, 1, 3))
  np.testing.assert_allclose(truth.means, np.tile(data.means, (64, 1)))
  assert set(np.unique(metrics.reward)) == {0, 1}
  regret = (metrics.best_expected_reward - metrics.expected_reward).mean()
  assert regret == pytest.approx(0.9 - (0.2 + 0.9 + 0.5) / 3, abs=0.01)
  for arm in range(3):
    chosen = metrics.arm_id == arm
    assert metrics.reward[chosen].mean() == pytest.approx(float(data.means[arm]), abs=0.03)


def test_means_are_drawn_anew_for_each_seed():
  metrics, truth = play(arms_environment(5), ArmsData(None, None), ArmSpec(5, 5, 1, 5))
  means = np.asarray(truth.means)
  assert len(np.unique(means)) == means.size
  # Uniform on [0, 1]: mean 1/2 and variance 1/12.
  assert means.mean() == pytest.approx(0.5, abs=0.06)
  assert means.var() == pytest.approx(1 / 12, rel=0.25)
  best = metrics.best_expected_reward
  np.testing.assert_allclose(best[:, :, 0, 0], np.tile(means.max(1)[:, None], (1, 200)))


def test_normal_rewards_have_their_noise():
  data = ArmsData(None, jnp.float32(0.5))
  metrics, truth = play(arms_environment(5), data, ArmSpec(5, 5, 1, 5))
  assert np.std(metrics.reward - metrics.expected_reward) == pytest.approx(0.5, rel=0.03)
  assert np.var(truth.means) == pytest.approx(1, rel=0.25)


def test_fixed_logistic_arms_give_one_as_often_as_their_means():
  environment, spec = fixed_logistic_environment(6, 3), ArmSpec(6, 6, 1, 3)
  metrics, truth = play(environment, FixedLogisticData(), spec)
  assert set(np.unique(metrics.reward)) == {0, 1}
  error = (metrics.reward - metrics.expected_reward).mean()
  assert abs(error) < 4 * 0.5 / metrics.reward.size**0.5
  np.testing.assert_array_equal(truth.features[:, :, 0], 1)
  # Six arms, but three weights.
  scores = scipy.special.logit(np.float64(truth.means))
  for features, score in zip(np.float64(truth.features), scores, strict=True):
    weights = np.linalg.lstsq(features, score)[0]
    np.testing.assert_allclose(features @ weights, score, atol=1e-4)


@pytest.mark.soak
def test_fixed_linear_arms_stay_and_a_linear_policy_learns_them():
  environment, spec = fixed_linear_environment(8, 3), ArmSpec(8, 8, 1, 3)
  data = FixedLinearData(jnp.float32(0.5))
  metrics, truth = play(environment, data, spec)
  assert np.var(truth.means) == pytest.approx(1, rel=0.4)
  context = environment.observe(KEYS[0], data, jax.tree.map(lambda x: x[0], truth), 7)
  np.testing.assert_array_equal(context.features[0], truth.features[0])
  gap = (metrics.best_expected_reward - metrics.expected_reward).sum((1, 2, 3))
  learnt, _ = play(environment, data, spec, name='lin_ts')
  learnt_gap = (learnt.best_expected_reward - learnt.expected_reward).sum((1, 2, 3))
  assert learnt_gap.mean() < gap.mean() / 5
