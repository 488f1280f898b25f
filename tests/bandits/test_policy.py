"""Slates of a belief and an explorer against their frequencies."""

import jax
import numpy as np
import pytest
from scipy import stats

from rec_jax import bandits
from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.types import ArmSpec
from tests.bandits import problems

SPEC = problems.SPEC._replace(slate_size=3)
NUM_DRAWS = 20_000


@pytest.mark.parametrize('name', ['uniform', 'lin_epsilon_greedy', 'lin_softmax'])
def test_marginals_of_a_slate_match_frequencies_and_wrong_ones_do_not(name):
  policy = bandits.make(name)
  state = problems.learnt(name, SPEC)[1]
  context = problems.context(101, SPEC)
  marginals = np.asarray(
    problems.compiled(policy.probabilities)(jax.random.key(0), state, context), np.float64
  )
  np.testing.assert_allclose(marginals.sum(axis=0), 1, rtol=1e-5)
  assert np.all(marginals[~np.asarray(context.mask)] == 0)
  choose = problems.compiled(jax.vmap(lambda key: policy.select(key, state, context).index))
  slates = np.asarray(choose(jax.random.split(jax.random.key(1), NUM_DRAWS)))
  counts = np.stack([np.bincount(column, minlength=5) for column in slates.T], axis=1)
  # Positions after the first are averaged over 64 sampled prefixes.
  np.testing.assert_allclose(counts[:, 1:] / NUM_DRAWS, marginals[:, 1:], atol=0.2)
  first = marginals[:, 0]
  possible = first > 0
  expected = first[possible] / first[possible].sum() * NUM_DRAWS
  assert stats.chisquare(counts[possible, 0], expected).pvalue > 1e-3
  wrong = expected * np.where(np.arange(len(expected)) == 0, 1.5, 1)
  wrong *= NUM_DRAWS / wrong.sum()
  assert stats.chisquare(counts[possible, 0], wrong).pvalue < 1e-4


def test_thompson_over_an_ensemble_has_the_shares_of_its_members():
  policy, state = problems.learnt('ensemble_ts')
  num_members = bandits.hyperparameters('ensemble_ts')['num_members']
  context = problems.context(101)
  found = [policy.probabilities(jax.random.key(seed), state, context)[:, 0] for seed in range(2)]
  # Sampled ones would differ from key to key, and be no whole numbers of members.
  np.testing.assert_array_equal(*found)
  np.testing.assert_allclose(found[0] * num_members, np.round(found[0] * num_members), atol=1e-5)
  assert np.max(found[0]) < 1


@pytest.mark.parametrize('name', ['epsilon_greedy', 'per_user_lin_ts'])
def test_no_two_arrays_of_a_first_state_share_a_buffer(name):
  state = bandits.make(name).init(jax.random.key(0), problems.SPEC)
  places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state)]
  assert len(set(places)) == len(places)


@pytest.mark.parametrize('name', ['lin_ts', 'lin_unknown_noise_ts'])
def test_a_draw_over_the_catalogue_is_one_product_with_one_vector(name):
  spec = ArmSpec(num_arms=2_000, num_candidates=2_000, query_dim=1, arm_dim=64)
  policy, context = bandits.make(name), problems.context(101, spec)
  state = jax.eval_shape(lambda: policy.init(jax.random.key(0), spec))
  compiled = jax.jit(policy.select).lower(jax.random.key(0), state, context).compile()
  product = 2 * spec.num_candidates * spec.arm_dim
  # A mean of every candidate beside it would be a second one.
  assert product <= compiled.cost_analysis()['flops'] < 1.5 * product


def test_of_an_ensemble_one_draw_is_one_member():
  belief = ensemble(num_members=4, hidden=8, capacity=4)
  state = belief.init(jax.random.key(0), SPEC)
  context = problems.context(101, SPEC)
  draw = problems.compiled(lambda key: belief.sample(key, state, context, 1)[0])
  members = np.asarray(problems.compiled(belief.members)(state, context))
  drawn = np.stack([draw(key) for key in jax.random.split(jax.random.key(1), 40)])
  # float32 sums of other orders.
  is_member = np.isclose(drawn[:, None], members, rtol=1e-5, atol=1e-6).all(2)
  assert np.all(is_member.sum(1) == 1)
  assert np.all(is_member.any(0))
