"""Posteriors against brute-force Bayes in float64, and updates against their own one by one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rec_jax import bandits
from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.gaussian_unknown_noise import gaussian_unknown_noise
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.beliefs.linear_hybrid import linear_hybrid
from rec_jax.bandits.beliefs.linear_unknown_noise import linear_unknown_noise
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.beliefs.matrix_factorisation import matrix_factorisation
from rec_jax.bandits.beliefs.per_user import per_user
from rec_jax.bandits.beliefs.perturbed_history import (
  perturb_counts,
  perturb_weights,
  perturbed_history,
)
from rec_jax.bandits.beliefs.residual import ResidualInfo, residual
from rec_jax.bandits.combinations import popularity_per_user_linear
from rec_jax.types import ArmSpec, Context
from tests.bandits import problems

SPEC = problems.SPEC
KEY = jax.random.key(0)


def rows(feedback, selection):
  """As NumPy: of an array on the device each slice would be compiled for."""
  return jax.tree.map(lambda x: x[selection], jax.device_get(feedback))


def asked(belief, feedback, context, draw_key=None, num_draws=1):
  """What rows teach, the moments of a context and its draws, of one program."""

  def run(feedback, context):
    state = belief.update(KEY, belief.init(KEY, SPEC), feedback)
    draws = None if draw_key is None else belief.sample(draw_key, state, context, num_draws)
    return state, belief.predict(state, context), draws

  return problems.compiled(run)(feedback, context)


def linear_posterior(feedback, lambda_, noise_variance, prior_mean, gamma):
  """Mean and covariance in float64, from the weighted normal equations."""
  x, r, w = (
    np.asarray(y, np.float64) for y in (feedback.features, feedback.reward, feedback.weight)
  )
  decay = gamma ** np.arange(len(r))[::-1]
  precision = lambda_ * np.eye(x.shape[1]) + (x * (decay * w)[:, None]).T @ x / noise_variance
  mean = np.linalg.solve(precision, lambda_ * prior_mean + x.T @ (decay * w * r) / noise_variance)
  return mean, np.linalg.inv(precision)


@pytest.mark.parametrize('gamma', [1.0, 0.9])
def test_linear_is_the_normal_posterior(gamma):
  prior_mean = np.array([0.3, -0.2, 0.1])
  belief = linear(2.0, 0.5, prior_mean, gamma)
  feedback, context = problems.feedback(0, 40, binary=False), problems.context(3)
  state, (expected, variance), _ = asked(belief, feedback, context)
  mean, covariance = linear_posterior(feedback, 2.0, 0.5, prior_mean, gamma)
  np.testing.assert_allclose(state.mean, mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(state.root @ state.root.T, covariance, rtol=1e-4, atol=1e-6)
  x = np.asarray(context.features, np.float64)
  np.testing.assert_allclose(expected, x @ mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(variance, np.diag(x @ covariance @ x.T), rtol=1e-3, atol=1e-6)


def test_linear_draws_have_the_joint_covariance():
  context, feedback = problems.context(3), problems.feedback(0, 5, binary=False)
  found = asked(linear(), feedback, context, jax.random.key(1), 50_000)
  state, (mean, _), draws = jax.device_get(found)
  features = np.asarray(context.features)
  covariance = features @ state.root @ state.root.T @ features.T
  np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.03)
  np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.06)


@pytest.mark.parametrize('kind', ['normal', 'constant'])
def test_linear_stays_right_after_a_million_hard_rows(kind):
  """Collinear and zero features and rewards of a million in float32."""
  belief = linear()
  rng = np.random.default_rng(0)
  number = 1_000_000
  first = rng.normal(size=number) if kind == 'normal' else np.full(number, 0.3)
  features = np.stack([first, first, np.zeros(number)], axis=1).astype(np.float32)
  reward = (1e6 * (first + rng.normal(size=number))).astype(np.float32)
  row = problems.feedback(0, 1)
  feedback = jax.tree.map(
    lambda x: np.broadcast_to(x[0], (number, *x.shape[1:])), jax.device_get(row)
  )
  feedback = dataclasses.replace(
    feedback,
    features=jnp.asarray(features),
    reward=jnp.asarray(reward),
    weight=jnp.ones(number),
  )
  state = jax.jit(belief.update)(KEY, belief.init(KEY, SPEC), feedback)
  mean, covariance = linear_posterior(feedback, 1.0, 1.0, np.zeros(3), 1.0)
  # What is left is the rounding of one step beside rewards of a million.
  np.testing.assert_allclose(state.mean, mean, rtol=2e-4)
  root = np.asarray(state.root, np.float64)
  # Nothing is learnt of the difference of the first two or of the third; their sum is known
  # hundreds of times better.
  np.testing.assert_allclose(
    np.linalg.eigvalsh(root @ root.T), np.linalg.eigvalsh(covariance), rtol=1e-3
  )


@pytest.mark.parametrize('gamma', [1.0, 0.8])
def test_beta_bernoulli_counts(gamma):
  a0, b0 = np.linspace(1, 3, SPEC.num_arms), np.linspace(9, 4, SPEC.num_arms)
  belief = beta_bernoulli(a0, b0, gamma)
  feedback, context = jax.device_get(problems.feedback(1, 30)), problems.context(4)
  state, (mean, variance), draws = asked(belief, feedback, context, jax.random.key(2), 4_000)
  a, b = a0.copy(), b0.copy()
  for arm, reward, weight in zip(feedback.arm_id, feedback.reward, feedback.weight, strict=True):
    a, b = a0 + gamma * (a - a0), b0 + gamma * (b - b0)
    a[arm] += weight * reward
    b[arm] += weight * (1 - reward)
  posterior = stats.beta(a[context.arm_ids], b[context.arm_ids])
  np.testing.assert_allclose(mean, posterior.mean(), rtol=1e-5)
  np.testing.assert_allclose(variance, posterior.var(), rtol=1e-4)
  x = np.linspace(0.05, 0.95, 7)
  grid = np.tile(x.astype(np.float32)[:, None], (1, 5))
  cdf = problems.compiled(belief.cdf)(state, context, grid)
  np.testing.assert_allclose(cdf, posterior.cdf(x[:, None]), atol=1e-4)
  draws = np.asarray(draws)
  assert all(
    stats.kstest(draws[:, k], stats.beta(a[arm], b[arm]).cdf).pvalue > 1e-3
    for k, arm in enumerate(np.asarray(context.arm_ids))
  )


@pytest.mark.parametrize(
  'belief',
  [
    beta_bernoulli(2, 3, 0.9),
    gaussian(gamma=0.9),
    linear(gamma=0.9),
    linear_disjoint(gamma=0.9),
    linear_hybrid(gamma=0.9),
    linear_unknown_noise(gamma=0.9),
    logistic(gamma=0.9),
    matrix_factorisation(gamma=0.9, rank=2),
    gaussian_unknown_noise(gamma=0.9),
    per_user(linear()),
  ],
)
def test_a_batch_equals_its_rows_in_order_and_padding_makes_none_forget(belief):
  feedback, update = problems.feedback(2, 9), problems.compiled(belief.update)
  state = problems.compiled(belief.init, static_argnums=1)(KEY, SPEC)
  batch = update(KEY, state, feedback)
  padding = dataclasses.replace(feedback, weight=np.zeros(9, np.float32))
  assert problems.same_bits(batch, update(KEY, batch, padding))
  for row in range(9):
    state = update(KEY, state, rows(feedback, slice(row, row + 1)))
  for whole, stepwise in zip(jax.tree.leaves(batch), jax.tree.leaves(state), strict=True):
    np.testing.assert_allclose(whole, stepwise, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('gamma', [1.0, 0.8])
def test_gaussian_is_the_normal_posterior(gamma):
  prior_mean = np.linspace(-1, 1, SPEC.num_arms)
  belief = gaussian(prior_mean, 2.0, 0.5, gamma)
  feedback, context = problems.feedback(1, 30, binary=False), problems.context(4)
  _, (mean, variance), draws = asked(belief, feedback, context, jax.random.key(2), 4_000)
  precision, total = np.full(SPEC.num_arms, 2.0), 2.0 * prior_mean
  decay = gamma ** np.arange(30)[::-1]
  np.add.at(precision, feedback.arm_id, decay * feedback.weight / 0.5)
  np.add.at(total, feedback.arm_id, decay * feedback.weight * feedback.reward / 0.5)
  posterior = stats.norm(total / precision, precision**-0.5)
  np.testing.assert_allclose(mean, posterior.mean()[context.arm_ids], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(variance, posterior.var()[context.arm_ids], rtol=1e-4)
  uniform = stats.norm(mean, np.sqrt(variance)).cdf(draws)
  assert all(stats.kstest(uniform[:, k], 'uniform').pvalue > 1e-3 for k in range(5))


@pytest.mark.parametrize('gamma', [1.0, 0.9])
def test_disjoint_arms_are_regressions_on_the_query(gamma):
  belief = linear_disjoint(2.0, 0.5, gamma)
  feedback, context = problems.feedback(0, 40, binary=False), problems.context(3)
  state, (expected, variance), _ = asked(belief, feedback, context)
  query = np.asarray(context.query, np.float64)
  for k, arm in enumerate(np.asarray(context.arm_ids)):
    own = rows(feedback, np.asarray(feedback.arm_id) == arm)
    own = dataclasses.replace(own, features=own.query)
    mean, covariance = linear_posterior(own, 2.0, 0.5, np.zeros(3), gamma)
    np.testing.assert_allclose(expected[k], query @ mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(variance[k], query @ covariance @ query, rtol=1e-3)

  @problems.compiled
  def reset(state, context):
    reset = belief.reset_arms(state, context.arm_ids[:1], context.features[:1])
    return [belief.predict(each, context) for each in (reset, belief.init(KEY, SPEC))]

  for after, before in zip(*reset(state, context), strict=True):
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5)


@pytest.mark.parametrize(
  'dim', [1, 5, *(pytest.param(dim, marks=pytest.mark.soak) for dim in (2, 6))]
)
def test_the_covariances_that_decisions_read_are_those_of_the_roots(dim):
  """Wide prior and large, nearly collinear queries: plain subtraction loses every digit there."""
  belief = linear_disjoint(1e-4, 1.0)
  spec = ArmSpec(2, 2, query_dim=dim, arm_dim=1)
  rng = np.random.default_rng(dim)
  queries = 100 * (rng.normal(size=(1, dim)) + 0.1 * rng.normal(size=(400, dim)))
  feedback = problems.feedback(0, 400, binary=False)
  feedback = dataclasses.replace(
    feedback,
    query=jnp.asarray(queries, jnp.float32),
    arm_id=jnp.asarray(rng.integers(2, size=400), jnp.int32),
  )
  state = problems.compiled(lambda rows: belief.update(KEY, belief.init(KEY, spec), rows))(feedback)
  predict = problems.compiled(belief.predict)
  for query in np.asarray(rng.normal(size=(5, dim)), np.float32):
    context = Context(jnp.int32(0), query, jnp.zeros((2, 1)), jnp.arange(2), jnp.ones(2, bool))
    variance = predict(state, context)[1]
    root = np.asarray(state.posterior.root, np.float64)
    exact = np.sum(np.einsum('ndr,d->nr', root, query.astype(np.float64)) ** 2, axis=1)
    np.testing.assert_allclose(variance, exact, rtol=1e-3)


def test_per_user_equals_independent_runs():
  shared, apart = linear(), per_user(linear())
  feedback, context = problems.feedback(3, 20, binary=False), problems.context(5)
  state = asked(apart, feedback, context)[0]
  of_user, alone = problems.compiled(apart.predict), problems.compiled(shared.predict)
  update = problems.compiled(lambda rows: shared.update(KEY, shared.init(KEY, SPEC), rows))
  for user in range(SPEC.num_users):
    # Rows of weight 0 are padding, which keeps the shape.
    weight = np.where(feedback.user_id == user, feedback.weight, np.float32(0))
    expected = update(dataclasses.replace(feedback, weight=weight))
    np.testing.assert_allclose(state.mean[user], expected.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state.root[user], expected.root, rtol=1e-5, atol=1e-6)
    own = dataclasses.replace(context, user_id=np.int32(user))
    np.testing.assert_allclose(of_user(state, own)[1], alone(expected, own)[1], rtol=1e-4)


def test_residual_learns_what_the_base_did_not_expect_at_the_decision():
  base, deviation = beta_bernoulli(1, 9), linear()
  belief = residual(base, deviation)
  feedback = problems.feedback(4, 6)
  expected, context = np.linspace(0.1, 0.6, 6, dtype=np.float32), problems.context(6)
  informed = dataclasses.replace(feedback, info=ResidualInfo(expected, None, None))
  state, (mean, variance), _ = asked(belief, informed, context)
  surprise = dataclasses.replace(feedback, reward=np.asarray(feedback.reward) - expected)
  alone, (moved, doubt), _ = asked(deviation, surprise, context)
  np.testing.assert_allclose(state.deviation.mean, alone.mean, rtol=1e-5, atol=1e-6)
  base_mean, info = problems.compiled(
    lambda state: (base.predict(state.base, context)[0], belief.info(state, context, jnp.int32(2)))
  )(state)
  np.testing.assert_allclose(mean, base_mean + moved, rtol=1e-5)
  np.testing.assert_allclose(moved, np.asarray(context.features) @ alone.mean, rtol=1e-4)
  np.testing.assert_allclose(variance, doubt, rtol=1e-5)
  np.testing.assert_allclose(info.base_mean, base_mean[2])


def learnt_and_reset(belief, feedback):
  """The state that rows teach, and the same once arm 2 is reset."""

  def run(feedback):
    state = belief.update(KEY, belief.init(KEY, SPEC), feedback)
    return state, belief.reset_arms(state, jnp.array([2]), jnp.zeros((1, SPEC.arm_dim)))

  return problems.compiled(run)(feedback)


def test_a_reset_mean_of_an_arm_starts_from_the_prior():
  state, reset = learnt_and_reset(gaussian(), problems.feedback(0, 40))
  assert reset.weight[2] == reset.total[2] == 0
  for before, after in ((state.weight, reset.weight), (state.total, reset.total)):
    np.testing.assert_array_equal(np.delete(after, 2), np.delete(before, 2))


def test_a_reset_arm_starts_from_the_prior():
  state, reset = learnt_and_reset(beta_bernoulli(1, 9), problems.feedback(5, 30))
  assert reset.successes[2] == reset.failures[2] == 0
  np.testing.assert_array_equal(np.delete(reset.failures, 2), np.delete(state.failures, 2))


def test_perturbed_history_adds_as_many_fair_coins_as_there_are_rewards():
  num_copies, num_rows = 2_000, 6
  belief = perturbed_history(
    beta_bernoulli(1, 1), lambda key, state, ids, variance: state, num_copies, num_pseudo_rewards=2
  )
  feedback = problems.feedback(6, num_rows)
  feedback = dataclasses.replace(
    feedback, arm_id=np.full(num_rows, 3, np.int32), weight=np.ones(num_rows, np.float32)
  )
  context = dataclasses.replace(problems.context(0), arm_ids=np.full(5, 3, np.int32))
  state, (mean, variance), _ = jax.device_get(asked(belief, feedback, context))
  counts = state.copies
  # Heads of twelve coins, each of which adds 1/2 or takes it.
  coins = np.rint(np.asarray(counts.successes[:, 3]) - float(feedback.reward.sum()) + num_rows)
  np.testing.assert_allclose(counts.successes[:, 3] + counts.failures[:, 3], num_rows, rtol=1e-5)
  for chance, accepted in ((0.5, True), (0.6, False)):
    expected = stats.binom(2 * num_rows, chance).pmf(np.arange(13))
    counts = np.bincount(coins.astype(int), minlength=13)
    inner = slice(2, 11)
    share = expected[inner] / expected[inner].sum() * counts[inner].sum()
    assert (stats.chisquare(counts[inner], share).pvalue > 1e-3) == accepted
  # One prior success in two and six rewards; coins are fair, with a variance of 1/4 each.
  expected = (1 + float(feedback.reward.sum())) / (2 + num_rows)
  np.testing.assert_allclose(mean, expected, atol=0.02)
  np.testing.assert_allclose(variance, 12 / 4 / 8**2, rtol=0.1)


def before(belief, context):
  """The moments before any row."""
  return problems.compiled(lambda context: belief.predict(belief.init(KEY, SPEC), context))(context)


def test_copies_start_about_the_prior_mean_as_wide_as_a_history_of_its_size():
  belief = perturbed_history(beta_bernoulli(1, 9), perturb_counts(1, 9), 4_000)
  mean, variance = before(belief, problems.context(0))
  np.testing.assert_allclose(mean, 0.1, atol=0.01)
  np.testing.assert_allclose(variance, 10 / 4 / 10**2, rtol=0.1)
  # A draw of N(0, I / 4) over unit features, with noise of 1/4 in place of 1.
  belief = perturbed_history(linear(4.0), perturb_weights(1.0), 4_000)
  context = dataclasses.replace(problems.context(0), features=jnp.eye(5, 3))
  mean, variance = before(belief, context)
  np.testing.assert_allclose(mean, 0, atol=0.02)
  np.testing.assert_allclose(variance[:3], 1 / 4 / 4, rtol=0.1)


def test_perturbed_history_tries_other_arms_than_the_first():
  """Five Bernoulli arms: greedy locks onto one of them, copies that all start alike did as well."""
  chances = jnp.array([0.1, 0.3, 0.5, 0.6, 0.7])
  context = dataclasses.replace(
    problems.context(0, num_masked=0), arm_ids=jnp.arange(5), features=jnp.zeros((5, 3))
  )

  def regret(name):
    policy = bandits.make(name)

    def run(key):
      def step(state, key):
        select_key, reward_key, update_key = jax.random.split(key, 3)
        decision = policy.select(select_key, state, context)
        chance = chances[decision.arm_id[0]]
        reward = jax.random.bernoulli(reward_key, chance).astype(jnp.float32)
        feedback = problems.outcome(context, decision, reward)
        return policy.update(update_key, state, feedback), (0.7 - chance, decision.arm_id[0])

      state = policy.init(key, SPEC)
      return jax.lax.scan(step, state, jax.random.split(key, 500))[1]

    lost, chosen = problems.compiled(jax.vmap(run))(jax.random.split(KEY, 32))
    return float(lost.sum(1).mean()), np.mean([len(set(arms)) == 1 for arms in chosen.tolist()])

  greedy_regret, greedy_locked = regret('popularity_greedy')
  found, locked = regret('perturbed_history')
  assert greedy_locked > 0.3
  assert locked == 0
  assert found < greedy_regret / 2


def test_what_is_not_known_of_an_arm_adds_to_its_doubt_until_it_is_shown():
  values = {'a0': 1.0, 'b0': 9.0, 'noise_variance': 0.5}
  plain = popularity_per_user_linear(2.0, **values)
  doubt = {'item_variance': jnp.full(7, 0.3), 'item_noise': 0.3}
  doubting = popularity_per_user_linear(2.0, **values, **doubt)
  deviation = per_user(linear(2.0, 0.5, compensated=False))
  context, feedback = problems.context(0), problems.feedback(1, 40)
  arm = int(context.arm_ids[1])
  feedback = dataclasses.replace(feedback, arm_id=jnp.full(40, arm), weight=jnp.ones(40))

  @problems.compiled
  def run(feedback):
    first, start = plain.init(KEY, SPEC), doubting.init(KEY, SPEC)
    one = doubting.info(start, context, jnp.int32(1))
    info = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (40, *leaf.shape)), one)
    learnt = doubting.update(KEY, start, dataclasses.replace(feedback, info=info))
    moments = plain.predict(first, context), doubting.predict(start, context)
    after = doubting.predict(learnt, context)[1]
    draws = doubting.sample(KEY, start, context, 20_000)
    return moments, draws, after, deviation.predict(learnt.deviation, context)[1]

  moments, draws, after, of_deviation = jax.device_get(run(feedback))
  (mean, variance), (same_mean, more) = moments
  np.testing.assert_allclose(same_mean, mean, rtol=1e-6)
  np.testing.assert_allclose(more, variance + 0.3, rtol=1e-5)
  np.testing.assert_allclose(np.var(draws, axis=0), more, rtol=0.05)
  # Of 40 rewards of all users, with noise of 0.5 and 0.3 of tastes, 1 / (1 / 0.3 + 50) is left.
  items = after - of_deviation
  np.testing.assert_allclose(items[1], 1 / (1 / 0.3 + 50), rtol=1e-3)
  np.testing.assert_allclose(np.delete(items, 1), 0.3, rtol=1e-4)
  assert np.all(after[2:] <= variance[2:] + 0.3 + 1e-5)
