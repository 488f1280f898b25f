"""Hybrid, unknown-noise and logistic posteriors against brute-force Bayes in float64."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from rec_jax.bandits.beliefs.gaussian_unknown_noise import gaussian_unknown_noise
from rec_jax.bandits.beliefs.linear_hybrid import linear_hybrid
from rec_jax.bandits.beliefs.linear_unknown_noise import linear_unknown_noise
from rec_jax.bandits.beliefs.logistic import logistic
from tests.bandits import problems

SPEC = problems.SPEC
KEY = jax.random.key(0)
LAMBDA, NOISE = 2.0, 0.5


def learnt(belief, feedback):
  return problems.compiled(belief.update)(KEY, belief.init(KEY, SPEC), feedback)


def float64(*arrays):
  return (np.asarray(x, np.float64) for x in arrays)


def padded(feedback):
  """The same rows after one of weight 0 that would ruin everything."""
  first = jax.tree.map(lambda x: x[:1], feedback)
  first = dataclasses.replace(first, reward=first.reward + 1e3, weight=jnp.zeros(1))
  return jax.tree.map(lambda *x: jnp.concatenate(x), first, feedback)


def hybrid_design(features, query, arm):
  """[B, F + N D] rows of the whole regression: features, then the query in its arm's block."""
  blocks = np.zeros((len(arm), SPEC.num_arms, SPEC.query_dim))
  blocks[np.arange(len(arm)), arm] = query
  return np.concatenate([features, blocks.reshape(len(arm), -1)], axis=1)


def hybrid_posterior(feedback):
  features, query, reward, weight = float64(
    feedback.features, feedback.query, feedback.reward, feedback.weight
  )
  design = hybrid_design(features, query, np.asarray(feedback.arm_id))
  precision = LAMBDA * np.eye(design.shape[1]) + (design * weight[:, None]).T @ design / NOISE
  mean = np.linalg.solve(precision, design.T @ (weight * reward) / NOISE)
  return mean, np.linalg.inv(precision)


def test_hybrid_is_one_regression_on_all_weights():
  belief = linear_hybrid(LAMBDA, NOISE)
  feedback = problems.feedback(0, 60, binary=False)
  state = learnt(belief, padded(feedback))
  mean, covariance = hybrid_posterior(feedback)
  context = problems.context(3)
  features, query = float64(context.features, context.query)
  design = hybrid_design(features, np.tile(query, (len(features), 1)), np.asarray(context.arm_ids))
  joint = design @ covariance @ design.T
  expected, variance = belief.predict(state, context)
  np.testing.assert_allclose(expected, design @ mean, rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(variance, np.diag(joint), rtol=1e-3)
  draws = np.asarray(belief.sample(jax.random.key(1), state, context, 50_000), np.float64)
  np.testing.assert_allclose(draws.mean(axis=0), design @ mean, atol=0.01)
  scale = np.sqrt(np.outer(np.diag(joint), np.diag(joint)))
  np.testing.assert_allclose(np.cov(draws.T) / scale, joint / scale, atol=0.03)
  # The candidates do hang together, so that independent draws would be told apart.
  assert np.abs(joint / scale - np.eye(len(joint))).max() > 0.1


def test_a_reset_arm_of_the_hybrid_knows_what_is_shared():
  belief = linear_hybrid(LAMBDA, NOISE)
  feedback = problems.feedback(0, 60, binary=False)
  context = problems.context(3)
  arm = int(context.arm_ids[2])
  state = belief.reset_arms(learnt(belief, feedback), jnp.array([arm]), jnp.zeros((1, 3)))
  mean, covariance = hybrid_posterior(feedback)
  features, query = float64(context.features[2], context.query)
  expected, variance = (x[2] for x in belief.predict(state, context))
  np.testing.assert_allclose(expected, features @ mean[:3], rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(
    variance, features @ covariance[:3, :3] @ features + query @ query / LAMBDA, rtol=1e-3
  )


@pytest.mark.parametrize('gamma', [1.0, 0.9])
def test_unknown_noise_is_the_normal_inverse_gamma_posterior(gamma):
  belief = linear_unknown_noise(LAMBDA, 3.0, 2.0, gamma)
  feedback = problems.feedback(0, 40, binary=False)
  state = learnt(belief, padded(feedback))
  x, r, w = float64(feedback.features, feedback.reward, feedback.weight)
  w = w * gamma ** np.arange(len(w))[::-1]
  precision = LAMBDA * np.eye(3) + (x * w[:, None]).T @ x
  mean = np.linalg.solve(precision, x.T @ (w * r))
  # Riquelme et al. (2018), equation 1.
  a = 3.0 + w.sum() / 2
  b = 2.0 + (w @ r**2 - mean @ precision @ mean) / 2
  np.testing.assert_allclose(state.a, a, rtol=1e-5)
  np.testing.assert_allclose(state.b, b, rtol=1e-4)
  context = problems.context(3)
  (features,) = float64(context.features)
  scale = np.sqrt(b / a * np.sum(features @ np.linalg.inv(precision) * features, axis=1))
  posterior = stats.t(2 * a, features @ mean, scale)
  expected, variance = belief.predict(state, context)
  np.testing.assert_allclose(expected, posterior.mean(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(variance, posterior.var(), rtol=1e-3)
  check_draws(belief, state, context, posterior)


@pytest.mark.parametrize('gamma', [1.0, 0.8])
def test_gaussian_unknown_noise_is_the_normal_inverse_gamma_posterior(gamma):
  belief = gaussian_unknown_noise(0.5, LAMBDA, 3.0, 2.0, gamma)
  feedback = problems.feedback(0, 40, binary=False)
  state = learnt(belief, padded(feedback))
  context = problems.context(3)
  r, w = float64(feedback.reward, feedback.weight)
  location, scale, shape = np.zeros((3, SPEC.num_candidates))
  for k, arm in enumerate(np.asarray(context.arm_ids)):
    own = np.asarray(feedback.arm_id) == arm
    own_w = np.where(own, w * gamma ** (own.sum() - np.cumsum(own)), 0)
    precision = LAMBDA + own_w.sum()
    location[k] = (LAMBDA * 0.5 + own_w @ r) / precision
    shape[k] = 3.0 + own_w.sum() / 2
    b = 2.0 + (own_w @ r**2 + LAMBDA * 0.5**2 - precision * location[k] ** 2) / 2
    scale[k] = np.sqrt(b / shape[k] / precision)
  posterior = stats.t(2 * shape, location, scale)
  expected, variance = belief.predict(state, context)
  np.testing.assert_allclose(expected, posterior.mean(), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(variance, posterior.var(), rtol=1e-3)
  check_draws(belief, state, context, posterior)
  reset = belief.reset_arms(state, context.arm_ids[:1], context.features[:1])
  fresh = belief.init(KEY, SPEC)
  assert belief.predict(reset, context)[1][0] == belief.predict(fresh, context)[1][0]


def check_draws(belief, state, context, posterior):
  """Draws follow the posterior, and not one that is 1.5 times as wide."""
  draws = np.asarray(belief.sample(jax.random.key(2), state, context, 4_000), np.float64)
  quantiles = posterior.cdf(draws)
  wide = posterior.cdf(posterior.mean() + (draws - posterior.mean()) / 1.5)
  for k in range(draws.shape[1]):
    assert stats.kstest(quantiles[:, k], 'uniform').pvalue > 1e-3
    assert stats.kstest(wide[:, k], 'uniform').pvalue < 1e-4


@pytest.mark.parametrize('lambda_', [2.0, 1e-4])
def test_one_logistic_row_is_the_laplace_approximation(lambda_):
  belief = logistic(lambda_)
  feedback = jax.tree.map(lambda x: x[:1], problems.feedback(0, 1))
  state = learnt(belief, padded(feedback))
  (x,), (r,), (w,) = float64(feedback.features, feedback.reward, feedback.weight)

  def slope(t):
    """Of the log posterior along the features, whose zero is the mode."""
    return lambda_ * t - w * (r - special.expit(t * (x @ x)))

  mode = optimize.brentq(slope, -w / lambda_, w / lambda_) * x
  chance = 1 / (1 + np.exp(-mode @ x))
  precision = lambda_ * np.eye(3) + w * chance * (1 - chance) * np.outer(x, x)
  np.testing.assert_allclose(state.mean, mode, rtol=1e-3)
  np.testing.assert_allclose(state.root @ state.root.T @ precision, np.eye(3), atol=2e-3)


def test_a_logistic_row_comes_to_its_mode_from_wherever_the_belief_was():
  """Steps of Newton alone would go from a logit of 20 to -9,980 and back for ever."""
  belief = logistic()
  kinds = itertools.product([1.0, 100.0, 1e4, 1e10], [-30.0, -3.0, 0.0, 5.0, 20.0], [0.0, 0.3, 1.0])
  variance, logit, reward = np.array(list(kinds)).T
  start, row = belief.init(KEY, SPEC), jax.tree.map(lambda x: x[:1], problems.feedback(0, 1))
  row = dataclasses.replace(row, features=jnp.eye(1, SPEC.arm_dim), weight=jnp.ones(1))

  @problems.compiled
  @jax.vmap
  def mode(variance, logit, reward):
    mean, root = start.mean.at[0].set(logit), jnp.sqrt(variance) * start.root
    before = dataclasses.replace(start, mean=mean, root=root)
    return belief.update(KEY, before, dataclasses.replace(row, reward=reward[None])).mean[0]

  expected = [
    optimize.brentq(
      lambda t, v=v, m=m, r=r: t - m - v * (r * special.expit(-t) - (1 - r) * special.expit(t)),
      m - v,
      m + v,
    )
    for v, m, r in zip(variance, logit, reward, strict=True)
  ]
  got = mode(*(jnp.asarray(x, jnp.float32) for x in (variance, logit, reward)))
  np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_logistic_rows_come_near_the_mode_of_all_of_them():
  belief = logistic(1.0)
  rng = np.random.default_rng(0)
  truth = np.array([1.5, -1.0, 0.5])
  feedback = problems.feedback(1, 2_000)
  x = np.asarray(feedback.features, np.float64)
  r = rng.random(len(x)) < 1 / (1 + np.exp(-x @ truth))
  state = learnt(
    belief,
    dataclasses.replace(
      feedback, reward=jnp.asarray(r, jnp.float32), weight=jnp.ones(len(x), jnp.float32)
    ),
  )

  def loss(weights):
    return weights @ weights / 2 + np.sum(np.logaddexp(0, np.where(r, -1, 1) * (x @ weights)))

  mode = optimize.minimize(loss, np.zeros(3)).x
  p = 1 / (1 + np.exp(-x @ mode))
  covariance = np.linalg.inv(np.eye(3) + (x * (p * (1 - p))[:, None]).T @ x)
  error = state.mean - mode
  # Within half a standard deviation of the posterior that has all rows at once.
  assert error @ np.linalg.solve(covariance, error) < 0.25 * 3
  ratio = np.diag(state.root @ state.root.T) / np.diag(covariance)
  assert np.all((ratio > 0.8) & (ratio < 1.2))


@pytest.mark.parametrize('lambda_', [2.0, 0.02])
def test_logistic_moments_are_integrals_over_the_logit(lambda_):
  belief = logistic(lambda_)
  state = learnt(belief, problems.feedback(1, 3))
  context = problems.context(3)
  mean, variance = belief.predict(state, context)
  covariance = np.asarray(state.root, np.float64) @ np.asarray(state.root, np.float64).T
  for k, x in enumerate(np.asarray(context.features, np.float64)):
    logit = stats.norm(x @ np.asarray(state.mean), np.sqrt(x @ covariance @ x))
    first, second = (
      integrate.quad(
        lambda p, power=power, logit=logit: special.expit(logit.ppf(p)) ** power, 0, 1, limit=200
      )[0]
      for power in (1, 2)
    )
    np.testing.assert_allclose(mean[k], first, atol=3e-4)
    np.testing.assert_allclose(variance[k], second - first**2, atol=3e-4)
  draws = np.asarray(belief.sample(jax.random.key(0), state, context, 20_000))
  np.testing.assert_allclose(mean, draws.mean(axis=0), atol=0.015)
  np.testing.assert_allclose(variance, draws.var(axis=0), rtol=0.06)


def test_a_logistic_belief_forgets_towards_its_prior():
  feedback = problems.feedback(2, 30)
  feedback = dataclasses.replace(
    feedback, reward=jnp.ones_like(feedback.reward), weight=jnp.ones_like(feedback.weight)
  )
  belief, plain = logistic(2.0, gamma=0.8), logistic(2.0)
  state, before = learnt(belief, feedback), learnt(plain, feedback)
  # Only the last five rows or so are remembered; and no row is no time.
  width = np.trace(np.asarray(state.root @ state.root.T))
  assert width > 1.5 * np.trace(np.asarray(before.root @ before.root.T))
  idle = dataclasses.replace(feedback, weight=jnp.zeros_like(feedback.weight))
  after = belief.update(jax.random.key(0), state, idle)
  jax.tree.map(np.testing.assert_array_equal, after, state)
