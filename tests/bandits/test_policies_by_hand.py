"""Policies that do not factor, and what holds a factoring one together, in numbers by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.base import Belief, Explorer
from rec_jax.bandits.beliefs.constant import constant
from rec_jax.bandits.beliefs.forgetting import decays
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.matrix_factorisation import matrix_factorisation
from rec_jax.bandits.beliefs.per_user import per_user
from rec_jax.bandits.beliefs.two_tower import two_tower
from rec_jax.bandits.corral import CorralState, corral
from rec_jax.bandits.exp3 import Exp3Info, exp3
from rec_jax.bandits.exp4 import exp4
from rec_jax.bandits.explorers.greedy import greedy
from rec_jax.bandits.mixture import MixtureInfo
from rec_jax.bandits.offline_to_online import importance_weights
from rec_jax.bandits.policy import combine, reject
from rec_jax.types import ArmSpec, Context
from tests.bandits import problems

KEY = jax.random.key(0)
SPEC = ArmSpec(num_arms=4, num_candidates=3, query_dim=2, arm_dim=2)
CONTEXT = Context(
  user_id=jnp.int32(0),
  query=jnp.array([1.0, 2.0]),
  features=jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
  arm_ids=jnp.array([3, 0, 1]),
  mask=jnp.array([True, True, False]),
)
UNIFORM = bandits.make('uniform')


def rows(info=None, **columns):
  """Feedback with these columns, the others at random."""
  number = len(columns['reward'])
  columns = {name: jnp.asarray(column) for name, column in columns.items()}
  return dataclasses.replace(problems.feedback(0, number, SPEC), info=info, **columns)


def test_exp3_has_the_weights_and_mixture_of_auer():
  policy = exp3(learning_rate=0.5, mixing=0.2)
  start = policy.init(KEY, SPEC)
  # Auer et al. 2002, figure 1: 0.5 * 1 / 0.25 for arm 3, with weight 2 twice as much; a row of
  # weight 0 changes nothing; then 0.5 * 0.4 / 0.5 for arm 0.
  feedback = rows(
    arm_id=[3, 1, 0],
    reward=[1.0, 1.0, 0.4],
    weight=[2.0, 0.0, 1.0],
    info=Exp3Info(jnp.array([0.25, 0.0, 0.5])),
  )
  state = policy.update(KEY, start, feedback)
  np.testing.assert_allclose(state.belief.log_weight, [0.4, 0, 0, 4.0], rtol=1e-6)
  # Candidates are arms 3 and 0: 0.8 e^4 / (e^4 + e^0.4) + 0.1 = 0.8787252.
  best = 0.8 / (1 + math.exp(-3.6)) + 0.1
  got = policy.probabilities(KEY, state, CONTEXT)
  np.testing.assert_allclose(got[:, 0], [best, 1 - best, 0], rtol=1e-5)
  # A new arm has the average weight of those that an outcome was of, itself left out.
  average = math.log((math.exp(0.4) + math.exp(4)) / 2)
  for arm, start in ((1, [0.4, average, 0, 4.0]), (3, [0.4, 0, 0, 0.4])):
    reset = policy.reset_arms(state, jnp.array([arm]), jnp.zeros((1, 2)))
    np.testing.assert_allclose(reset.belief.log_weight, start, rtol=1e-6)


def mixture_rows(chosen, share, likelihood=None, **columns):
  info = MixtureInfo(jnp.asarray(chosen), jnp.asarray(share), likelihood, (None, None))
  return rows(info, **{'user_id': np.zeros(len(chosen), np.int32), **columns})


def test_exp4_credits_by_likelihood():
  policy = exp4([UNIFORM, UNIFORM], learning_rate=0.5, mixing=0.2)
  state = policy.init(KEY, SPEC)
  feedback = mixture_rows(
    [0, 1],
    [0.5, 0.5],
    jnp.array([[2.0, 0.4], [jnp.nan, 1.0]]),
    reward=[0.8, 1.0],
    weight=[3.0, 0.0],
  )
  state = policy.update(KEY, state, feedback)
  # 0.5 * 3 * 0.8 = 1.2 times the likelihoods, nothing for the padded row.
  np.testing.assert_allclose(state.master, [2.4, 0.48], rtol=1e-6)
  # Of a reward that nobody is made for nothing is learnt.
  wrong = mixture_rows([0], [0.5], jnp.ones((1, 2)), reward=[1.5], weight=[1.0])
  after = policy.update(KEY, state, wrong)
  np.testing.assert_array_equal(after.master, state.master)
  assert (state.num_rejected, after.num_rejected) == (0, 1)
  decision = policy.select(KEY, state, CONTEXT)
  first = 0.8 / (1 + math.exp(-1.92)) + 0.1
  share = first if decision.info.chosen[0] == 0 else 1 - first
  np.testing.assert_allclose(decision.info.share, [share], rtol=1e-5)
  # Both would have chosen as the mixture does.
  np.testing.assert_allclose(decision.info.likelihood, [[1.0, 1.0]], rtol=1e-5)


def test_corral_descends_and_its_rates_grow_where_a_share_falls():
  # T = e^2: growth e^(1/2) and smoothing (1 - e^-2) p + e^-2 / 2 (Agarwal et al. 2017, algorithm
  # 1, lines 7 to 13).
  policy = corral([UNIFORM, UNIFORM], learning_rate=0.1, horizon=math.exp(2))
  start = policy.init(KEY, SPEC)
  np.testing.assert_allclose(start.master.shares, [0.5, 0.5])
  np.testing.assert_allclose(start.master.rates, [0.1, 0.1])
  np.testing.assert_allclose(start.master.thresholds, [4.0, 4.0])
  # Loss 2 * (1 - 0.6) / 0.5 = 1.6: 1 / (a + 0.16) + 1 / a = 1 with a = 2 - 0.1 x = 1.9231949.
  feedback = mixture_rows([0, 0], [0.5, 0.5], reward=[0.6, 0.0], weight=[2.0, 0.0])
  state = policy.update(KEY, start, feedback)
  np.testing.assert_allclose(state.master.shares, [0.4800319, 0.5199681], rtol=1e-5)
  np.testing.assert_allclose(state.master.rates, [0.1, 0.1])
  np.testing.assert_allclose(state.master.thresholds, [4.0, 4.0])
  # No loss leaves shares alone. Smoothed, 0.15 is 0.1973674 and one over it above 4.
  low = CorralState(jnp.array([0.15, 0.85]), jnp.array([0.1, 0.1]), jnp.array([4.0, 4.0]))
  feedback = mixture_rows([1], [0.8], reward=[1.0], weight=[1.0])
  state = policy.update(KEY, dataclasses.replace(start, master=low), feedback).master
  np.testing.assert_allclose(state.shares, [0.15, 0.85], rtol=1e-5)
  np.testing.assert_allclose(state.rates, [0.1 * math.exp(0.5), 0.1], rtol=1e-5)
  np.testing.assert_allclose(state.thresholds, [2 / 0.1973674, 4.0], rtol=1e-5)


def test_rows_that_cannot_be_are_emptied_and_counted():
  nan, inf = float('nan'), float('inf')
  feedback = rows(
    reward=[1.0, nan, 1.0, 1.0, 1.0],
    weight=[2.0, 1.0, inf, 1.0, 1.0],
    query=[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [nan, 2.0], [1.0, 2.0]],
    features=[[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [3.0, -inf]],
  )
  clean, number = reject(feedback, SPEC, (-np.inf, np.inf))
  assert number == 4
  np.testing.assert_array_equal(clean.weight, [2, 0, 0, 0, 0])
  np.testing.assert_array_equal(clean.reward, [1, 0, 0, 0, 0])
  np.testing.assert_array_equal(clean.query, [[1, 2], *4 * [[0, 0]]])
  np.testing.assert_array_equal(clean.features, [[3, 4], *4 * [[0, 0]]])
  # Arms 0 to 3, user 0, rewards from 0 to 1; what is padding may hold any of them.
  for column, right, wrong in (
    ('arm_id', [0, 3], [-1, 4]),
    ('user_id', [0, 0], [-1, 1]),
    ('reward', [0.0, 1.0], [-0.1, 1.1]),
    ('weight', [0.0, 0.5], [-0.5, -1.0]),
  ):
    columns = {'reward': np.ones(4), 'user_id': [0] * 4, 'weight': np.ones(4), 'arm_id': [0] * 4}
    spoilt = rows(**{**columns, column: [*right, *wrong]})
    clean, number = reject(spoilt, SPEC, (0.0, 1.0))
    assert number == 2, column
    np.testing.assert_array_equal(clean.weight[2:], 0)
    np.testing.assert_array_equal(clean.weight[:2], spoilt.weight[:2])
    if column != 'weight':
      padding = dataclasses.replace(spoilt, weight=jnp.zeros(4))
      assert reject(padding, SPEC, (0.0, 1.0))[1] == 0


def in_proportion(mean):
  """A policy whose propensities are plain: in proportion to the means; it adds up the changes."""

  def select(key, state, outlook, mask):
    return jnp.where(jnp.any(mask), jnp.argmax(jnp.where(mask, outlook.mean, -1)), -1)

  def probabilities(key, state, outlook, mask):
    open_means = jnp.where(mask, outlook.mean, 0)
    return open_means / jnp.maximum(jnp.sum(open_means), 1e-9)

  explorer = Explorer(
    init=lambda key, spec: jnp.zeros(()),
    select=select,
    probabilities=probabilities,
    update=lambda state, feedback: state,
    is_exact=lambda belief: belief.cdf is None,
    watch=lambda state, change, weight: state + weight * change,
  )
  belief = Belief(
    init=lambda key, spec: jnp.asarray(mean),
    predict=lambda state, context: (state[context.arm_ids], state[context.arm_ids]),
    sample=lambda key, state, context, number: jnp.zeros((number, len(context.arm_ids))),
    update=lambda key, state, feedback: state + 1.5 * feedback.weight[0],
    info=lambda state, context, index: 10 * index,
  )
  return combine(belief, explorer)


def test_a_slate_is_chosen_one_after_the_other():
  policy = in_proportion([0.2, 0.5, float('nan'), 0.3])
  spec = SPEC._replace(slate_size=3)
  state = policy.init(KEY, spec)
  context = dataclasses.replace(CONTEXT, arm_ids=jnp.array([3, 1, 2]), mask=jnp.ones(3, bool))
  decision = policy.select(KEY, state, context)
  # Means 0.3, 0.5 and none: the second, the first, and nothing is left.
  np.testing.assert_array_equal(decision.index, [1, 0, -1])
  np.testing.assert_array_equal(decision.arm_id, [1, 3, -1])
  np.testing.assert_array_equal(decision.info, [10, 0, -10])
  assert np.isnan(decision.propensity).all()
  got = policy.propensity(KEY, state, context, decision)
  # 0.5 of 0.8, then the only one left.
  np.testing.assert_allclose(got, [0.625, 1.0, 0.0], rtol=1e-6)
  # This select always takes that prefix.
  marginals = policy.probabilities(KEY, state, context)
  np.testing.assert_allclose(marginals.T, [[0.375, 0.625, 0], [1, 0, 0], [0, 0, 0]], rtol=1e-6)
  assert policy.propensity_is_exact


def test_an_explorer_hears_how_far_the_mean_of_each_choice_moved():
  policy = in_proportion([0.2, 0.5, 0.1, 0.3])
  feedback = rows(reward=[1.0, float('nan')], arm_id=[1, 2], weight=[1.0, 1.0])
  state = policy.update(KEY, policy.init(KEY, SPEC), feedback)
  np.testing.assert_allclose(state.explorer, 1.5)
  np.testing.assert_allclose(state.belief, [1.7, 2.0, 1.6, 1.8], rtol=1e-6)
  assert state.num_rejected == 1
  assert policy.update(KEY, state, feedback).num_rejected == 2


def test_arms_and_users_that_do_not_exist_stay_as_they_are_and_are_counted():
  policy = combine(per_user(gaussian()), greedy())
  learnt = policy.update(KEY, policy.init(KEY, SPEC), rows(reward=[1.0], arm_id=[3], user_id=[0]))
  mixed = exp4([policy, UNIFORM])
  # The last arm and the last user are those that -1 would be; 3 and 0 are there.
  for each, state in ((policy, learnt), (mixed, mixed.init(KEY, SPEC))):
    reset = each.reset_arms(state, jnp.array([-1, 4]), jnp.zeros((2, 2)))
    assert reset.num_rejected == 2
    assert each.reset_arms(reset, jnp.array([3]), jnp.zeros((1, 2))).num_rejected == 2
    gone = each.reset_users(KEY, reset, jnp.array([-1, 1, 7]))
    assert gone.num_rejected == 5
    assert each.reset_users(KEY, gone, jnp.array([0])).num_rejected == 5
    if each is policy:
      assert problems.same_bits(state.belief, gone.belief)
      np.testing.assert_array_equal(each.reset_users(KEY, gone, jnp.array([0])).belief.weight, 0)


@pytest.mark.parametrize('name', ['arm_ids', 'mask'])
def test_shapes_of_a_decision_are_checked(name):
  policy = in_proportion([0.2, 0.5, 0.1, 0.3])
  wrong = dataclasses.replace(CONTEXT, **{name: getattr(CONTEXT, name)[:2]})
  with pytest.raises(ValueError, match=f'{name} has shape'):
    policy.select(KEY, policy.init(KEY, SPEC), wrong)


def test_beliefs_that_learn_nothing():
  mean, variance = two_tower().predict((), CONTEXT)
  np.testing.assert_array_equal(mean, [1, 2, 3])
  np.testing.assert_array_equal(variance, [0, 0, 0])
  np.testing.assert_array_equal(two_tower().sample(KEY, (), CONTEXT, 2), [[1, 2, 3], [1, 2, 3]])
  assert two_tower().init(KEY, SPEC) == two_tower().update(KEY, (), None) == ()
  with pytest.raises(ValueError, match='query_dim is 2, arm_dim is 3'):
    two_tower().init(KEY, SPEC._replace(arm_dim=3))
  np.testing.assert_array_equal(constant().predict((), CONTEXT), np.zeros((2, 3)))
  np.testing.assert_array_equal(constant().sample(KEY, (), CONTEXT, 2), np.zeros((2, 3)))
  assert constant().init(KEY, SPEC) == constant().update(KEY, (), None) == ()


def test_decays_count_the_rows_that_came_later():
  total, each = decays(0.5, jnp.array([1.0, 0.0, 2.0]))
  assert total == 0.25
  np.testing.assert_allclose(each, [0.5, 0.5, 1.0])


def test_importance_weights_are_clipped_and_then_have_mean_one():
  # 1 / (2 * 0.5), 1 / (2 * 0.05) clipped at 4, 1 / (2 * 0.25): 1, 4 and 2, of mean 7 / 3.
  got = importance_weights(jnp.array([0.5, 0.05, 0.25]), 2, max_weight=4.0)
  np.testing.assert_allclose(got, [3 / 7, 12 / 7, 6 / 7], rtol=1e-6)
  # 1 / 0.05 and 1 clipped at the default of 10.
  got = importance_weights(jnp.array([0.05, 1.0]), 1)
  np.testing.assert_allclose(got, [20 / 11, 2 / 11], rtol=1e-6)


@pytest.mark.parametrize('gamma', [1.0, 0.5])
def test_factors_of_rank_one_are_a_pair_of_scalar_regressions(gamma):
  precision, noise = 2.0, 0.3
  belief = matrix_factorisation(lambda_=4.0, noise_variance=noise, gamma=gamma, rank=1)
  state = belief.init(KEY, SPEC)
  start = float(state.start[3, 0])
  columns = {'reward': [0.7, 0.2, 1.0], 'weight': [1.0, 0.0, 2.0], 'arm_id': [3, -1, 3]}
  after = belief.update(KEY, state, rows(**columns, user_id=[0, 0, 0]))
  # (mean, variance); the prior precision of an entry is sqrt(lambda R) = 2.
  user, arm = (0.0, 1 / precision), (start, 1 / precision)

  def forgotten(belief, prior):
    kept = gamma / belief[1], (1 - gamma) * precision
    return (kept[0] * belief[0] + kept[1] * prior) / sum(kept), 1 / sum(kept)

  def learnt(own, other, reward, weight):
    # The other's mean is the feature, and its doubt adds v_other (m_own^2 + v_own) of noise.
    variance = noise + other[1] * (own[0] ** 2 + own[1])
    precise = 1 / own[1] + weight * other[0] ** 2 / variance
    return (own[0] / own[1] + weight * other[0] * reward / variance) / precise, 1 / precise

  for reward, weight in ((0.7, 1.0), (1.0, 2.0)):
    user, arm = forgotten(user, 0.0), forgotten(arm, start)
    user, arm = learnt(user, arm, reward, weight), learnt(arm, user, reward, weight)
  mean, variance = belief.predict(after, CONTEXT)
  np.testing.assert_allclose(mean[0], user[0] * arm[0], rtol=1e-4)
  expected = arm[0] ** 2 * user[1] + user[0] ** 2 * arm[1] + user[1] * arm[1]
  np.testing.assert_allclose(variance[0], expected, rtol=1e-4)
  reset = belief.reset_arms(after, jnp.array([3]), None)
  np.testing.assert_allclose(reset.arms.mean[3], start)
  np.testing.assert_allclose(reset.arms.root[3] ** 2, 1 / precision, rtol=1e-5)
