"""Worlds of fresh arms: rewards at their stated means, drift that keeps its variance, regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from rec_jax import bandits
from rec_jax.environments import nonstationary, synthetic
from rec_jax.environments.one_round import seed_keys
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec, Decision

SPEC = ArmSpec(num_arms=6, num_candidates=6, query_dim=4, arm_dim=4)
KEYS = jax.random.split(jax.random.key(0), 16)


def play(policy, environment, data, num_rounds):
  return rollout(KEYS, policy, environment, data, SPEC, num_rounds, return_state=True)


def regret(trajectory):
  metrics = trajectory.metrics
  return (metrics.best_expected_reward - metrics.expected_reward)[:, :, 0, 0].mean(0)


@pytest.mark.soak
def test_logistic_rewards_have_their_means_and_regret_falls():
  environment, data = synthetic.logistic_environment(6, 4), synthetic.LogisticData()
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
  environment = nonstationary.drifting_environment(1, 512)
  data = nonstationary.DriftingData(jnp.float32(0.0), jnp.float32(drift))
  spec = ArmSpec(num_arms=1, num_candidates=1, query_dim=512, arm_dim=512)
  start = jnp.ones((8, 512))
  weights = rollout(
    KEYS[:8],
    bandits.make('uniform'),
    environment,
    data,
    spec,
    100,
    env_state=start,
    return_state=True,
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
  environment = nonstationary.drifting_environment(6, 4)
  data = nonstationary.DriftingData(jnp.float32(0.05), jnp.float32(0.01))

  def make(settings):
    return bandits.make('lin_ucb', noise_variance=0.05, gamma=settings['gamma'])

  gamma = jnp.repeat(jnp.array([1.0, 0.95]), len(KEYS))
  metrics = rollout(
    jnp.tile(KEYS, 2), make, environment, data, SPEC, 800, settings={'gamma': gamma}
  ).metrics
  gap = (metrics.best_expected_reward - metrics.expected_reward).reshape(2, 16, 800)
  remembering, forgetting = gap[:, :, 400:].mean(axis=(1, 2))
  assert forgetting < 0.6 * remembering


def test_each_seed_has_new_weights_from_each_change_on_and_only_then():
  environment = nonstationary.piecewise_environment(6, 4)
  data = nonstationary.PiecewiseData(jnp.array([3, 7]), jnp.float32(0.0))
  decision = Decision(jnp.zeros((1, 1), int), jnp.zeros((1, 1), int), jnp.ones((1, 1)))

  def one_seed(key):
    def one_round(weights, t):
      context = environment.observe(jax.random.fold_in(key, t), data, weights, t)
      moved, feedback, metrics = environment.step(
        jax.random.fold_in(key, t), data, weights, t, context, decision
      )
      return moved, (weights, context.features[0], feedback.reward, metrics)

    return jax.lax.scan(one_round, environment.init(key, data), jnp.arange(10))[1]

  weights, features, reward, metrics = jax.device_get(jax.jit(jax.vmap(one_seed))(KEYS[:2]))
  expected = np.einsum('stkf,stf->stk', features, weights)
  np.testing.assert_allclose(metrics.expected_reward[:, :, 0, 0], expected[:, :, 0], rtol=1e-4)
  np.testing.assert_allclose(
    metrics.best_expected_reward[:, :, 0, 0], expected.max(2), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(reward[:, :, 0], expected[:, :, 0], rtol=1e-4)
  changed = np.any(weights[:, 1:] != weights[:, :-1], axis=2)
  np.testing.assert_array_equal(changed, np.tile(np.isin(np.arange(1, 10), [3, 7]), (2, 1)))
  # Two seeds have three weights each, of one length, and no two the same.
  np.testing.assert_allclose(np.linalg.norm(weights, axis=2), 2, rtol=1e-5)
  assert len(np.unique(weights.reshape(-1, 4), axis=0)) == 6


# The best of six independent scores of N(0, 1), and of their sigmoids, by quadrature.
POINTS = np.linspace(-8, 8, 4_001)
OF_BEST = 6 * scipy.stats.norm.pdf(POINTS) * scipy.stats.norm.cdf(POINTS) ** 5
OF_ANY = scipy.stats.norm.pdf(POINTS)


def network_gap():
  """Mean regret of a uniform choice of six arms over networks."""
  rng = np.random.default_rng(0)
  gaps = []
  for _ in range(2_000):
    weights, output = rng.normal(size=(3, 4)), rng.normal(size=3)
    mean = np.maximum(rng.normal(size=(200, 6, 4)) / 2 @ weights.T, 0) @ output
    gaps.append(np.mean(mean.max(1) - mean.mean(1)) / mean.std())
  return np.mean(gaps)


@pytest.mark.parametrize(
  ('environment', 'data', 'expected'),
  [
    (
      synthetic.linear_environment(6, 4),
      synthetic.LinearData(jnp.float32(1.0)),
      lambda: np.trapezoid(POINTS * OF_BEST, POINTS),
    ),
    (
      synthetic.logistic_environment(6, 4),
      synthetic.LogisticData(),
      lambda: np.trapezoid(scipy.special.expit(POINTS) * (OF_BEST - OF_ANY), POINTS),
    ),
    (
      synthetic.neural_environment(6, 4, 3),
      synthetic.LinearData(jnp.float32(1.0)),
      network_gap,
    ),
  ],
  ids=['linear', 'logistic', 'neural'],
)
def test_each_seed_has_a_truth_of_its_own_and_uniform_the_regret_expected_over_them(
  environment, data, expected
):
  keys = jax.random.split(jax.random.key(5), 1_000)
  out = rollout(keys, bandits.make('uniform'), environment, data, SPEC, 20, return_state=True)
  truths = np.concatenate(
    [np.asarray(x).reshape(1_000, -1) for x in jax.tree.leaves(out.env_state)], 1
  )
  assert len(np.unique(truths, axis=0)) == 1_000
  again = jax.jit(jax.vmap(environment.init, (0, None)))(
    jax.vmap(lambda key: seed_keys(key).environment)(keys), data
  )
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), again, out.env_state)
  gap = regret(out)
  of_seed = (out.metrics.best_expected_reward - out.metrics.expected_reward).mean(axis=(1, 2, 3))
  error = of_seed.std() / np.sqrt(1_000)
  assert gap.mean() == pytest.approx(expected(), abs=4 * error)
  assert gap.mean() != pytest.approx(expected() / 1.5, abs=4 * error)


def test_a_network_has_the_mean_and_the_variance_among_arms_of_their_closed_forms():
  environment = synthetic.neural_environment(50_000, 4, 5)
  data = synthetic.LinearData(jnp.float32(0.01))
  index = np.arange(50_000)[None]

  @jax.jit
  def play(key):
    truth = environment.init(key, data)
    context = environment.observe(key, data, truth, 0)
    decision = Decision(index, index, jnp.ones(index.shape))
    moments = synthetic.neural_moments(truth.weights, truth.output)
    return truth, context, environment.step(key, data, truth, 0, context, decision)[2], moments

  truth, context, metrics, moments = jax.device_get(play(jax.random.key(3)))
  mean = np.asarray(metrics.expected_reward[0])
  units = np.maximum(np.asarray(context.features[0], float) @ truth.weights.T, 0)
  np.testing.assert_allclose(mean, units @ truth.output + truth.bias, atol=1e-5)
  # Of 50,000 arms the variance is known to about 1 %.
  assert np.mean(mean) == pytest.approx(0, abs=4 / np.sqrt(50_000))
  assert np.var(mean) == pytest.approx(1, rel=0.05)
  assert moments[0] == pytest.approx(-truth.bias, abs=1e-5)
  assert moments[1] == pytest.approx(1, rel=1e-5)
  assert np.var(metrics.reward[0] - mean) == pytest.approx(0.01, rel=0.05)
