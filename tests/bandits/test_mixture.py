"""EXP4 and CORRAL: propensities against frequencies, shares against their own arithmetic."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from rec_jax import bandits
from rec_jax.bandits.corral import descend
from tests.bandits import problems

SPEC = problems.SPEC._replace(slate_size=2)
NUM_DRAWS = 20_000


@pytest.mark.parametrize('name', ['exp4', pytest.param('corral', marks=pytest.mark.soak)])
def test_propensities_of_slates_are_their_frequencies_and_wrong_ones_are_not(name):
  # Few and small ones, which compile fast.
  policy = bandits.make(name, policies=('popularity_softmax', 'uniform'))
  compiled = problems.jitted(policy)
  state = problems.learn(compiled, compiled.init(jax.random.key(0), SPEC), SPEC)
  context = problems.context(101, SPEC, num_masked=2)
  choose = problems.compiled(jax.vmap(lambda key: policy.select(key, state, context)))
  decisions = choose(jax.random.split(jax.random.key(1), NUM_DRAWS))
  slates = np.asarray(list(itertools.permutations(range(2, 5), 2)))
  counts = np.array([(decisions.index == slate).all(axis=1).sum() for slate in slates])
  assert counts.sum() == NUM_DRAWS
  assert policy.propensity_is_exact

  one = jax.tree.map(lambda x: x[0], jax.device_get(decisions))
  rows = np.array(
    [
      compiled.propensity(jax.random.key(0), state, context, dataclasses.replace(one, index=slate))
      for slate in slates.astype(np.int32)
    ],
    np.float64,
  )
  expected = rows.prod(axis=1)
  assert expected.sum() == pytest.approx(1, abs=1e-5)
  expected *= NUM_DRAWS / expected.sum()
  assert stats.chisquare(counts, expected).pvalue > 1e-3
  wrong = expected * np.where(np.arange(len(slates)) == 0, 1.5, 1)
  assert stats.chisquare(counts, wrong * NUM_DRAWS / wrong.sum()).pvalue < 1e-4
  marginals = compiled.probabilities(jax.random.key(0), state, context)
  first = [rows[slates[:, 0] == k, 0][0] for k in range(2, 5)]
  np.testing.assert_allclose(marginals[2:, 0], first, rtol=1e-4)


def test_exp4_credits_each_policy_with_what_it_would_have_earned():
  names, rate, mixing = ('popularity_softmax', 'uniform'), 0.5, 0.2
  policy = problems.jitted(bandits.make('exp4', policies=names, learning_rate=rate, mixing=mixing))
  state = policy.init(jax.random.key(0), problems.SPEC)
  experts = [problems.jitted(bandits.make(name)) for name in names]
  logs = np.zeros(2)
  for seed in range(6):
    key, context = jax.random.key(seed), problems.context(seed)
    rows = np.stack(
      [
        expert.probabilities(key, own, context)[:, 0]
        for expert, own in zip(experts, state.policies, strict=True)
      ]
    )
    shares = (1 - mixing) * np.exp(logs) / np.exp(logs).sum() + mixing / 2
    np.testing.assert_allclose(
      policy.probabilities(key, state, context)[:, 0], shares @ rows, rtol=1e-4
    )
    decision = policy.select(key, state, context)
    chosen = int(decision.index[0])
    state = policy.update(key, state, problems.outcome(context, decision, 1.0))
    logs += rate * rows[:, chosen] / (shares @ rows[:, chosen])
    np.testing.assert_allclose(state.master, logs, rtol=1e-4)


def test_what_a_policy_is_told_is_of_the_choice_that_was_made():
  policy = bandits.make('exp4', policies=('popularity_lin_ts', 'uniform'))
  context = problems.context(1, num_masked=0)
  state = policy.init(jax.random.key(0), problems.SPEC)
  base = state.policies[0].belief.base
  base = dataclasses.replace(base, successes=jnp.arange(7.0), failures=jnp.zeros(7))
  belief = dataclasses.replace(state.policies[0].belief, base=base)
  first = dataclasses.replace(state.policies[0], belief=belief)
  state = dataclasses.replace(state, policies=(first, state.policies[1]))
  select = problems.compiled(policy.select)
  for seed in range(8):
    decision = select(jax.random.key(seed), state, context)
    won = float(decision.arm_id[0])
    # Beta(1 + won, 9) of the popularity.
    assert decision.info.policies[0].base_mean == pytest.approx((1 + won) / (10 + won))


@pytest.mark.parametrize('name', ['exp4', pytest.param('corral', marks=pytest.mark.soak)])
def test_a_policy_learns_from_the_choices_of_others_if_it_can(name):
  policies = ('popularity_lin_ts', 'lin_ucb')
  policy = problems.jitted(bandits.make(name, policies=policies))
  state = policy.init(jax.random.key(0), problems.SPEC)
  for seed in range(6):
    context = problems.context(seed)
    decision = policy.select(jax.random.key(seed), state, context)
    # What each is told is what it would have asked for at its own choice.
    for own, told, name in zip(state.policies, decision.info.policies, policies, strict=True):
      asked = bandits.make(name).info(own, context, decision.index)
      assert problems.same_bits(told, asked)
    after = policy.update(jax.random.key(1), state, problems.outcome(context, decision, 1.0))
    for old, new in zip(state.policies, after.policies, strict=True):
      assert not problems.same_bits(old.belief, new.belief)
    state = after


def test_a_policy_whose_own_chance_is_in_its_info_learns_from_its_own_choices_alone():
  policy = problems.jitted(bandits.make('corral', policies=('exp3', 'exp3')))
  state = policy.init(jax.random.key(0), problems.SPEC)
  context = problems.context(0)
  decision = policy.select(jax.random.key(0), state, context)
  after = policy.update(jax.random.key(1), state, problems.outcome(context, decision, 1.0))
  followed = int(decision.info.chosen[0])
  assert problems.same_bits(state.policies[1 - followed], after.policies[1 - followed])
  assert not problems.same_bits(state.policies[followed], after.policies[followed])


def test_a_step_of_corral_solves_its_equation():
  rng = np.random.default_rng(0)
  for chosen in range(4):
    shares, rates = rng.dirichlet(np.ones(4)), rng.uniform(0.01, 2, 4)
    losses = np.where(np.arange(4) == chosen, 1 / shares[chosen], 0)

    def excess(x, shares=shares, rates=rates, losses=losses):
      return np.sum(1 / (1 / shares + rates * (losses - x))) - 1

    high = min(losses.max(), (losses + 1 / (rates * shares)).min() * (1 - 1e-9))
    x = optimize.brentq(excess, 0, high)
    expected = 1 / (1 / shares + rates * (losses - x))
    got = descend(*(jnp.asarray(value, jnp.float32) for value in (shares, rates, losses)))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name', ['exp4', 'corral'])
def test_the_better_policy_gets_the_larger_share(name):
  policy = bandits.make(name, policies=('uniform', 'lin_epsilon_greedy'), learning_rate=0.2)
  context = problems.context(0, num_masked=0)
  rewards = jnp.zeros(5).at[2].set(1.0)

  def run(key):
    def body(state, key):
      select_key, update_key = jax.random.split(key)
      decision = policy.select(select_key, state, context)
      feedback = problems.outcome(context, decision, 0.0)
      feedback = dataclasses.replace(feedback, reward=rewards[decision.index])
      return policy.update(update_key, state, feedback), decision.info.chosen[0]

    state = policy.init(key, problems.SPEC)
    return jax.lax.scan(body, state, jax.random.split(key, 400))[1]

  chosen = problems.compiled(jax.vmap(run))(jax.random.split(jax.random.key(0), 16))
  assert np.mean(chosen[:, 300:]) > 0.75
