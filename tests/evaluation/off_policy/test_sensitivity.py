"""Bounds under hidden confounding against linear programs, all vertices and a simulated truth."""

import itertools

import numpy as np
import pytest
from scipy import optimize

from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.sensitivity import effect, effect_bounds
from rec_jax.types import InputError


def log(seed=0, n=8, overlap=True):
  """(reward, pscore, target, other); without overlap the two policies share no row."""
  rng = np.random.default_rng(seed)
  reward, pscore = rng.normal(size=n), rng.uniform(0.1, 0.9, size=n)
  target, other = rng.random((2, n))
  if not overlap:
    target[::2], other[1::2] = 0, 0
  return reward, pscore, target, other


def vertices(pscore, gamma):
  """[2^n, n] every choice of extreme inverse propensities."""
  factor = np.array(list(itertools.product([1 / gamma, gamma], repeat=len(pscore))))
  return 1 + factor * (1 / pscore - 1)


def values(reward, weights, target):
  """Self-normalised value for each row of weights."""
  weights = weights * target
  return weights @ reward / weights.sum(1)


def test_without_confounding_it_is_the_self_normalised_estimate():
  reward, pscore, target, other = log(n=50)

  def snipw(policy):
    zeros = np.zeros_like(reward)
    return estimators.snipw(estimators.Rounds(reward, policy / pscore, policy, zeros, zeros))

  both = [snipw(policy) for policy in (target, other)]
  expected = float(estimators.reduce(both[0]) - estimators.reduce(both[1]))
  found = effect(reward, pscore, target, other)
  assert found.value == pytest.approx(expected, rel=1e-5)
  spread = np.subtract(*(estimators.influence(terms) for terms in both))
  half = 2.0096 * spread.std(ddof=1) / np.sqrt(50)
  assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-4)
  bounds = effect_bounds(reward, pscore, target, other, gamma=1.0)
  assert bounds.least == bounds.most


@pytest.mark.parametrize('gamma', [1.5, 4.0])
def test_against_the_logging_policy_it_is_the_best_and_worst_vertex(gamma):
  reward, pscore, target, _ = log()
  possible = values(reward, vertices(pscore, gamma), target) - reward.mean()
  bounds = effect_bounds(reward, pscore, target, gamma=gamma)
  assert bounds.least.value == pytest.approx(possible.min(), rel=1e-10)
  assert bounds.most.value == pytest.approx(possible.max(), rel=1e-10)


@pytest.mark.parametrize('gamma', [1.5, 4.0])
def test_it_is_the_linear_program(gamma):
  reward, pscore, target, _ = log(1, n=30)
  odds = 1 / pscore - 1
  low, high = target * (1 + odds / gamma), target * (1 + odds * gamma)
  # Charnes & Cooper: weights scaled to sum to one, and the scale t is a variable too.
  eye, n = np.eye(30), 30
  above = np.hstack([eye, -high[:, None]])
  below = np.hstack([-eye, low[:, None]])
  bounds = effect_bounds(reward, pscore, target, gamma=gamma)
  for sign, found in ((1, bounds.least), (-1, bounds.most)):
    program = optimize.linprog(
      sign * np.append(reward, 0),
      np.vstack([above, below]),
      np.zeros(2 * n),
      np.append(np.ones(n), 0)[None],
      [1],
    )
    assert found.value + reward.mean() == pytest.approx(sign * program.fun, abs=1e-9)


@pytest.mark.parametrize('overlap', [False, True])
def test_two_policies_are_bounded_exactly_where_they_share_no_row_and_never_too_narrowly(overlap):
  reward, pscore, target, other = log(2, overlap=overlap)
  weights = vertices(pscore, 2.0)
  possible = values(reward, weights, target) - values(reward, weights, other)
  bounds = effect_bounds(reward, pscore, target, other, gamma=2.0)
  found, exact = (bounds.least.value, bounds.most.value), (possible.min(), possible.max())
  if overlap:
    assert found[0] < exact[0] < exact[1] < found[1]
  else:
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_bounds_widen_with_gamma_up_to_the_rewards_themselves():
  reward, pscore, target, _ = log(3, n=40)
  bounds = [effect_bounds(reward, pscore, target, gamma=g) for g in (1, 1.1, 1.5, 3, 10, 1e9)]
  least, most = ([getattr(b, end).value for b in bounds] for end in ('least', 'most'))
  assert (np.diff(least) < 0).all()
  assert (np.diff(most) > 0).all()
  assert least[-1] == pytest.approx(reward.min() - reward.mean(), abs=1e-6)
  assert most[-1] == pytest.approx(reward.max() - reward.mean(), abs=1e-6)


def test_the_conclusion_changes_at_the_gamma_that_is_given():
  rng = np.random.default_rng(4)
  pscore, target = rng.uniform(0.2, 0.8, size=400), rng.random(400)
  reward = rng.normal(size=400) + 4 * (target - 0.5)
  for sign in (1, -1):
    found = effect(sign * reward, pscore, target)
    assert np.sign(found.value) == sign
    assert 1 < found.gamma_of_interval < found.gamma < 10
    for name, gamma in (('value', found.gamma), ('interval', found.gamma_of_interval)):
      for factor, holds_zero in ((0.999, False), (1.001, True)):
        bounds = effect_bounds(sign * reward, pscore, target, gamma=gamma * factor)
        ends = {
          'value': (bounds.least.value, bounds.most.value),
          'interval': (bounds.least.low, bounds.most.high),
        }[name]
        assert (ends[0] <= 0 <= ends[1]) == holds_zero
  assert effect(reward - 9, pscore, np.ones(400), np.ones(400)).gamma == 1
  noise = rng.normal(size=400)
  assert effect(noise, pscore, np.ones(400)).gamma_of_interval == 1


def confounded(rng, n, gamma=2.0):
  """A log whose actions follow a hidden cause of the reward; (columns, true effect of item 1)."""
  # Odds that differ from the recorded ones by gamma at most, and average to them.
  nominal = 0.4
  odds = nominal / (1 - nominal)
  high, low = (factor * odds / (1 + factor * odds) for factor in (gamma, 1 / gamma))
  share = (nominal - low) / (high - low)
  hidden = rng.random(n) < share
  shown = rng.random(n) < np.where(hidden, high, low)
  reward = (rng.random(n) < np.where(hidden, 0.8, 0.2) + 0.1 * shown).astype(float)
  pscore = np.where(shown, nominal, 1 - nominal)
  return (reward, pscore, shown.astype(float), (~shown).astype(float)), 0.1


def test_the_truth_is_within_the_bounds_of_the_gamma_that_made_it_and_of_no_smaller_one():
  columns, truth = confounded(np.random.default_rng(5), 20_000)
  bounds = effect_bounds(*columns, gamma=2.0)
  assert bounds.least.value < truth < bounds.most.value
  assert effect_bounds(*columns, gamma=1.0).least.low > truth + 0.1
  assert effect_bounds(*columns, gamma=1.2).least.low > truth


def test_intervals_cover_the_bounds_as_often_as_they_say():
  rng = np.random.default_rng(6)
  many = effect_bounds(*confounded(rng, 200_000)[0], gamma=1.5)
  found = [effect_bounds(*confounded(rng, 300)[0], gamma=1.5, level=0.8) for _ in range(400)]
  for end in ('least', 'most'):
    target = getattr(many, end).value
    ends = [getattr(bounds, end) for bounds in found]
    covered = np.mean([estimate.low < target < estimate.high for estimate in ends])
    assert abs(covered - 0.8) < 0.06


def test_rounds_of_a_user_count_as_the_few_they_are():
  reward, pscore, target, other = log(7, n=60)
  alone = effect_bounds(reward, pscore, target, other, gamma=1.3)
  each = effect_bounds(reward, pscore, target, other, gamma=1.3, cluster=np.arange(60).astype(str))
  thrice = [np.repeat(column, 3) for column in (reward, pscore, target, other)]
  copies = effect_bounds(*thrice, gamma=1.3, cluster=np.repeat(np.arange(60), 3))
  for bounds, end in itertools.product((each, copies), ('least', 'most')):
    left, right = getattr(bounds, end), getattr(alone, end)
    assert (left.low, left.high, left.n) == pytest.approx((right.low, right.high, 60), rel=1e-9)
  naive = effect_bounds(*thrice, gamma=1.3).least
  assert naive.high - naive.low < 0.7 * (alone.least.high - alone.least.low)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'gamma': 0.5}, 'gamma: 0.5 is below 1'),
    ({'pscore': np.array([0.5, 0.0, 1.0])}, 'pscore, row 1: 0 is not in'),
    ({'reward': np.array([0.5, 0.0, np.nan])}, 'reward, row 2'),
    ({'target': np.array([0.5, np.nan, 1.0])}, 'target, row 1: nan is not a probability'),
    ({'target': np.zeros(3)}, 'target: 0 in every row'),
    ({'other': np.ones(2)}, r'other is \[2\] and reward \[3\]'),
  ],
)
def test_bad_input_is_one_line(changes, message):
  columns = {'reward': np.ones(3), 'pscore': np.full(3, 0.5), 'target': np.ones(3), 'gamma': 2.0}
  with pytest.raises(InputError, match=message) as error:
    effect_bounds(**{**columns, **changes})
  assert '\n' not in str(error.value)
