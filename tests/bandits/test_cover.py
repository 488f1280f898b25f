"""Online cover against a loop of algorithm 5 in float64, its costs, and its votes by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.cover import bonuses
from rec_jax.bandits.host import Service
from rec_jax.types import ArmSpec, Context, InputError
from tests.bandits import problems

KEY = jax.random.key(0)
NUM_POLICIES, PSI, SCALE, LAMBDA = 3, 0.7, 0.5, 2.0
SETTINGS = {
  'num_policies': NUM_POLICIES,
  'psi': PSI,
  'epsilon_scale': SCALE,
  'lambda_': LAMBDA,
}
# Fewer candidates than features, and more: the second are handed on as their Gram matrix's root.
FEW = ArmSpec(num_arms=7, num_candidates=4, query_dim=1, arm_dim=6, slate_size=2)
MANY = FEW._replace(num_candidates=7, arm_dim=3)
ONE_OF_MANY = MANY._replace(slate_size=1)


class SlowCover:
  """Algorithm 5 with ridge regressions of costs, candidate by candidate, in float64."""

  def __init__(self, dim, estimator):
    self.estimator, self.count = estimator, 0
    # Of each policy, and of the chosen ones alone: X^T W X and X^T W c.
    self.gram = np.tile(LAMBDA * np.eye(dim), (NUM_POLICIES + 1, 1, 1))
    self.moment = np.zeros((NUM_POLICIES + 1, dim))

  def costs(self, i, features):
    return features @ np.linalg.solve(self.gram[i], self.moment[i])

  def votes(self, i, features, open_):
    costs = np.where(open_, self.costs(i, features), np.inf)
    best = np.isclose(costs, costs.min(), rtol=1e-9, atol=1e-12)
    return best / best.sum()

  def smoothed(self, policies, features, open_):
    """epsilon + (1 - K epsilon) * share of the votes, and epsilon."""
    num_open = open_.sum()
    epsilon = min(1 / num_open, SCALE / np.sqrt(num_open * (self.count + 1)))
    share = np.mean([self.votes(i, features, open_) for i in policies], axis=0)
    return np.where(open_, epsilon + (1 - num_open * epsilon) * share, 0), epsilon

  def seen(self, features, open_, chosen):
    """What learning needs of a decision."""
    probability, epsilon = self.smoothed(range(NUM_POLICIES), features, open_)
    bonus = np.zeros((NUM_POLICIES, len(features)))
    for i in range(1, NUM_POLICIES):
      p = self.smoothed(range(i), features, open_)[0]
      bonus[i, open_] = PSI * epsilon / p[open_]
    return features, open_, chosen, probability[chosen], bonus

  def learn(self, seen, reward, weight):
    features, open_, chosen, propensity, bonus = seen
    self.count += 1
    expected = np.zeros(len(features))
    if self.estimator != 'ips':
      expected = self.costs(NUM_POLICIES, features)
    estimates = expected.copy()
    estimates[chosen] += (-reward - expected[chosen]) / propensity
    importance = 1 / (open_.sum() * propensity) if self.estimator == 'mtr' else 1.0
    row = [(NUM_POLICIES, chosen, -reward, weight * importance)]
    for i in range(NUM_POLICIES):
      if i == 0 and self.estimator == 'mtr':
        row.append((0, chosen, -reward, weight * importance))
        continue
      row += [(i, a, estimates[a] - bonus[i, a], weight) for a in np.flatnonzero(open_)]
    for i, a, cost, each in row:
      self.gram[i] += each * np.outer(features[a], features[a])
      self.moment[i] += each * cost * features[a]


def play(estimator, spec, num_rounds=12, late=3):
  """Our state and the loop's after slates whose outcomes come `late` rounds later, in batches."""
  policy = problems.jitted(bandits.make('lin_cover', **SETTINGS, estimator=estimator))
  state, slow = policy.init(KEY, spec), SlowCover(spec.arm_dim, estimator)
  rng = np.random.default_rng(0)
  outcomes, pending = [], []
  for t in range(num_rounds):
    context = problems.context(t, spec)
    decision = policy.select(jax.random.key(t), state, context)
    propensity = policy.propensity(KEY, state, context, decision)
    features, open_ = np.asarray(context.features, np.float64), np.array(context.mask)
    rows = dataclasses.replace(
      problems.outcome(context, decision, 0.0),
      reward=jnp.asarray(rng.normal(size=spec.slate_size), jnp.float32),
      weight=jnp.asarray([1.0, t % 3], jnp.float32),
    )
    for position, index in enumerate(np.asarray(decision.index)):
      seen = slow.seen(features, open_.copy(), index)
      np.testing.assert_allclose(propensity[position], seen[3], rtol=1e-4)
      pending.append((seen, float(rows.reward[position]), float(rows.weight[position])))
      open_[index] = False
    outcomes.append(rows)
    if len(outcomes) == late:
      batch = jax.tree.map(lambda *x: jnp.concatenate(x), *outcomes)
      state = policy.update(KEY, state, batch)
      for row in pending:
        if row[2]:
          slow.learn(*row)
      outcomes, pending = [], []
  return state, slow


@pytest.mark.parametrize(
  ('estimator', 'spec'),
  [
    ('ips', FEW),
    ('dr', MANY),
    ('mtr', FEW),
    *(pytest.param(*case, marks=pytest.mark.soak) for case in (('dr', FEW), ('mtr', MANY))),
  ],
)
def test_weights_and_propensities_are_those_of_algorithm_5(estimator, spec):
  state, slow = play(estimator, spec)
  for i in range(NUM_POLICIES):
    expected = -np.linalg.solve(slow.gram[i], slow.moment[i])
    np.testing.assert_allclose(state.belief.weights[i], expected, rtol=1e-3, atol=1e-4)
  root = np.asarray(state.belief.root, np.float64)
  np.testing.assert_allclose(root @ root.T, np.linalg.inv(slow.gram[-2]), rtol=1e-3, atol=1e-4)


def test_bonuses_by_hand():
  # Policies 1 and 2 choose 0 and 1, the third shares its vote; epsilon 0.1 among three.
  votes = jnp.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0]])
  mask = jnp.array([True, True, True, False])
  got = bonuses(votes, mask, jnp.float32(0.1), 2.0)
  # p_2 = .1 + .7 (1, 0, 0), p_3 = .1 + .7 (1/2, 1/2, 0).
  expected = [[0, 0, 0, 0], [0.2 / 0.8, 2, 2, 0], [0.2 / 0.45, 0.2 / 0.45, 2, 0]]
  np.testing.assert_allclose(got, expected, rtol=1e-6)


# Two candidates, orthogonal, so that a weight is what is regressed of each.
PAIR = ArmSpec(num_arms=2, num_candidates=2, query_dim=1, arm_dim=2)
CONTEXT = Context(jnp.int32(0), jnp.ones(1), jnp.eye(2), jnp.arange(2), jnp.ones(2, bool))


def informed(policy, state, chosen, reward):
  """One row of feedback as if `chosen` had been chosen."""
  decision = policy.select(KEY, state, CONTEXT)
  chance = policy.probabilities(KEY, state, CONTEXT)[chosen]
  index = jnp.array([chosen])
  info = dataclasses.replace(decision.info, propensity=chance)
  decision = dataclasses.replace(decision, index=index, arm_id=index, info=info)
  return problems.outcome(CONTEXT, decision, reward), chance[0]


@functools.cache
def alone(estimator):
  """A cover of one policy."""
  policy = bandits.make('lin_cover', num_policies=1, estimator=estimator, epsilon_scale=0.6)
  return problems.jitted(policy)


@pytest.mark.parametrize(('estimator', 'weighs'), [('dr', 1.0), ('dr', 1.5), ('ips', 1.0)])
def test_estimates_are_right_on_average_over_the_choice(estimator, weighs):
  """X^T of the estimated rewards, averaged by the chances, is that of the rewards themselves.

  A policy of weights w that learns targets g moves by (lambda I + X^T X)^-1 X^T (g - X w). Chances
  that are wrong by a factor are noticed.
  """
  policy = alone(estimator)
  state = policy.init(KEY, PAIR)
  for chosen, reward in ((0, 0.9), (1, 0.3), (1, -0.4)):
    state = policy.update(KEY, state, informed(policy, state, chosen, reward)[0])
  rewards, mean = np.array([0.5, -0.2]), 0.0
  for chosen in range(2):
    rows, chance = informed(policy, state, chosen, rewards[chosen])
    assert 0.05 < chance < 0.95
    info = dataclasses.replace(rows.info, propensity=rows.info.propensity * weighs)
    after = policy.update(KEY, state, dataclasses.replace(rows, info=info))
    # 4 rows with X = I and a ridge of 1.
    mean += float(chance) * (5 * (after.belief.weights[0] - state.belief.weights[0]))
  found = mean + np.asarray(state.belief.weights[0])
  assert np.allclose(found, rewards, atol=1e-5) == (weighs == 1.0)


def test_a_candidate_of_no_number_is_no_part_of_what_comes_back():
  policy, state = problems.learnt('lin_cover', ONE_OF_MANY)
  whole = problems.context(3, ONE_OF_MANY, 0)
  spoilt = dataclasses.replace(whole, features=whole.features.at[2, 0].set(jnp.nan))
  closed = dataclasses.replace(whole, mask=whole.mask.at[2].set(False))
  infos = [policy.select(KEY, state, context).info for context in (spoilt, closed)]
  assert infos[0].num_open == ONE_OF_MANY.num_candidates - 1
  jax.tree.map(np.testing.assert_array_equal, *infos)


def test_one_policy_is_epsilon_greedy():
  policy = alone('ips')
  state = policy.init(KEY, PAIR)
  state = policy.update(KEY, state, informed(policy, state, 1, 1.0)[0])
  epsilon = 0.6 / np.sqrt(2 * 2)
  got = policy.probabilities(KEY, state, CONTEXT)[:, 0]
  np.testing.assert_allclose(got, [epsilon, 1 - epsilon], rtol=1e-5)


def test_choices_are_as_frequent_as_propensities_say():
  num_draws = 4_000
  policy, state = problems.learnt('lin_cover', ONE_OF_MANY)
  context = problems.context(50, ONE_OF_MANY)
  draw = problems.compiled(jax.vmap(bandits.make('lin_cover').select, (0, None, None)))
  decision = draw(jax.random.split(KEY, num_draws), state, context)
  chances = np.asarray(policy.probabilities(KEY, state, context))[:, 0]
  np.testing.assert_allclose(
    decision.info.propensity[:, 0], chances[np.asarray(decision.index)[:, 0]], rtol=1e-5
  )
  counts = np.bincount(np.asarray(decision.index)[:, 0], minlength=len(chances))
  error = np.sqrt(chances * (1 - chances) / num_draws)
  for wrong_by in (1.0, 1.5):
    is_near = np.abs(counts / num_draws - wrong_by * chances) <= 4 * error
    assert np.all(is_near) == (wrong_by == 1.0)


@pytest.mark.parametrize('psi', [0.0, PSI])
def test_policies_differ_by_what_disagreement_is_worth(psi):
  """Without psi all policies are one; with it each wants what those before it do not choose."""
  policy = problems.jitted(bandits.make('lin_cover', **SETTINGS | {'psi': psi}, estimator='dr'))
  state = problems.learn(policy, policy.init(KEY, PAIR), PAIR)
  first, *others = np.asarray(state.belief.weights)
  assert all(np.array_equal(first, other) for other in others) == (psi == 0)
  # Ten times the same: what is best is known, and only psi has a policy choose the other.
  for _ in range(10):
    state = policy.update(KEY, state, informed(policy, state, 0, 0.1)[0])
  is_best = np.argmax(state.belief.weights @ CONTEXT.features.T, axis=1) == 0
  assert is_best[0]
  assert is_best.all() == (psi == 0)


@pytest.mark.parametrize('num_candidates', [4, 8])
def test_a_large_number_that_all_share_leaves_the_others_what_they_tell(num_candidates):
  """In float32 the squares of it would swallow the ridge and all that differs."""
  rng = np.random.default_rng(3)
  policy = problems.jitted(bandits.make('lin_cover', num_policies=1))
  spec = ArmSpec(num_arms=8, num_candidates=num_candidates, query_dim=1, arm_dim=5)
  state, precision = policy.init(KEY, spec), np.eye(5)
  for t in range(4):
    features = (rng.normal(size=(num_candidates, 5)) + 3e3).astype(np.float32)
    precision += features.T.astype(np.float64) @ features
    context = dataclasses.replace(problems.context(t, spec, 0), features=jnp.asarray(features))
    decision = policy.select(jax.random.key(t), state, context)
    state = policy.update(KEY, state, problems.outcome(context, decision, 1.0))
  root = np.asarray(state.belief.root, np.float64)
  np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), rtol=1e-3, atol=1e-4)


def test_what_rounding_takes_is_kept():
  """The rows are too many for float32: without the rest the weights are off by ten times that."""
  policy, num_rows = alone('ips'), 20_000
  rewards = np.random.default_rng(0).uniform(0.9, 1.1, num_rows).astype(np.float32)
  state = policy.init(KEY, PAIR)
  one, _ = informed(policy, state, 0, 1.0)
  rows = jax.tree.map(lambda x: jnp.repeat(x, num_rows, axis=0), one)
  rows = dataclasses.replace(rows, reward=jnp.asarray(rewards))
  got = policy.update(KEY, state, rows).belief
  expected = rewards.sum(dtype=np.float64) / 0.5 / (1 + num_rows)
  np.testing.assert_allclose(got.weights[0, 0], expected, rtol=2e-7)
  covariance = np.asarray(got.root @ got.root.T)
  np.testing.assert_allclose(covariance, np.eye(2) / (1 + num_rows), rtol=2e-7)


def test_outcomes_of_before_the_service_grew_are_learnt_with_those_of_after():
  """A decision among more candidates is told by more rows, 12 here for 8."""
  features = np.random.default_rng(0).normal(size=(12, 12)).astype(np.float32)
  late, early = (Service('lin_cover', arm_dim=12, query_dim=1, epsilon_scale=9.0) for _ in 'ab')
  services = late, early
  for made in services:
    made.add_arms([f'arm {i}' for i in range(6)], features[:6])
  first = [made.decide('ann', np.ones(1)) for made in services]
  early.learn([first[1].decision], [1.0])
  for made in services:
    made.add_arms([f'new {i}' for i in range(6)], features[6:])
  # One that is shown alone with epsilon 1 is a decision that no learning changes.
  second = [made.decide('ann', np.ones(1), arms=['new 1']) for made in services]
  late.learn([first[0].decision, second[0].decision], [1.0, 0.5])
  early.learn([second[1].decision], [0.5])
  states = (made._engine.state.belief for made in services)
  for one, other in zip(*map(jax.tree.leaves, states), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_what_it_cannot_be_made_of_is_named():
  with pytest.raises(InputError, match="estimator = 'dm' is unknown; give one of ips, dr, mtr"):
    bandits.make('lin_cover', estimator='dm')
  policy = bandits.make('lin_cover')
  state = jax.eval_shape(lambda: policy.init(KEY, FEW))
  with pytest.raises(ValueError, match='up to 4'):
    jax.eval_shape(policy.select, KEY, state, problems.context(0, MANY._replace(arm_dim=6)))
