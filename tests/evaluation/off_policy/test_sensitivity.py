"""Bounds under hidden confounding against linear programs, closed forms and a simulated truth."""

import itertools

import numpy as np
import pytest
from scipy import optimize

from rec_jax.evaluation.off_policy import estimators
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.sensitivity import Model, effect, effect_bounds
from rec_jax.types import InputError


def log(seed=0, n=8):
  """(reward, pscore, target, other)."""
  rng = np.random.default_rng(seed)
  reward, pscore = rng.normal(size=n), rng.uniform(0.1, 0.9, size=n)
  target, other = rng.random((2, n))
  return reward, pscore, target, other


def program(reward, pscore, target, gamma, sign, balanced=True):
  """The largest self-normalised value times sign over all weights that gamma allows.

  Weights that are balanced add up to what the recorded propensities say. Without that it is the
  relaxation of Zhao, Small & Bhattacharya (2019), by Charnes & Cooper: weights scaled to sum to
  one, and the scale is a variable too.
  """
  odds, n = 1 / pscore - 1, len(reward)
  low, high = target * (1 + odds / gamma), target * (1 + odds * gamma)
  total = (target / pscore).sum()
  scale = (1 / total, 1 / total) if balanced else (0, None)
  found = optimize.linprog(
    -sign * np.append(reward, 0),
    np.vstack([np.c_[np.eye(n), -high], np.c_[-np.eye(n), low]]),
    np.zeros(2 * n),
    np.append(np.ones(n), 0)[None],
    [1],
    bounds=[(0, None)] * n + [scale],
  )
  return -sign * found.fun


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
  interval = corrected_t(expected + spread - spread.mean())
  assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)
  bounds = effect_bounds(reward, pscore, target, other, gamma=1.0)
  assert bounds.least == bounds.most


@pytest.mark.parametrize('gamma', [1.5, 4.0])
@pytest.mark.parametrize('binary', [False, True])
def test_it_is_the_linear_program_whose_weights_add_up_and_no_relaxation_of_it(gamma, binary):
  reward, pscore, target, _ = log(1, n=30)
  reward = (reward > 0).astype(float) if binary else reward
  bounds = effect_bounds(reward, pscore, target, gamma=gamma)
  for sign, found in ((-1, bounds.least), (1, bounds.most)):
    value = found.value + reward.mean()
    assert value == pytest.approx(program(reward, pscore, target, gamma, sign), abs=1e-9)
    relaxed = program(reward, pscore, target, gamma, sign, balanced=False)
    assert sign * (relaxed - value) > 0.001


class Strata:
  """Contexts and actions with rewards of 0 and 1, whose sharp bounds are a closed form."""

  gamma = 2.0

  def __init__(self):
    rng = np.random.default_rng(8)
    self.behaviour, self.target, self.other = rng.dirichlet(np.full(3, 2.0), size=(3, 6))
    self.behaviour = 0.8 * self.behaviour + 0.2 / 3
    self.mean = rng.random((6, 3))

  def bounds(self, net):
    """Least and largest mean of sum net(a|x) E[r(a)|x]; E of a shown action is what was seen.

    Where the action was not shown, the odds of 1 lie within a factor of gamma of what was seen,
    as far as probabilities allow: max E = min(gamma m, 1 - (1 - m) / gamma).
    """
    m, e = self.mean, self.behaviour
    most = np.minimum(self.gamma * m, 1 - (1 - m) / self.gamma)
    least = np.maximum(m / self.gamma, 1 - (1 - m) * self.gamma)
    most, least = (e * m + (1 - e) * end for end in (most, least))
    down, up = (np.where(net > 0, *ends) for ends in ((least, most), (most, least)))
    return (net * down).sum(1).mean(), (net * up).sum(1).mean()

  def draw(self, n):
    """(columns of a log, what the model that knows the means says of both policies)."""
    rng = np.random.default_rng(9)
    x = rng.integers(6, size=n)
    a = (rng.random(n)[:, None] > self.behaviour.cumsum(1)[x]).sum(1).clip(max=2)
    reward = (rng.random(n) < self.mean[x, a]).astype(float)
    columns = [reward, *(table[x, a] for table in (self.behaviour, self.target, self.other))]
    expected = [(table * self.mean).sum(1)[x] for table in (self.target, self.other)]
    return columns, [Model(self.mean[x, a], policy) for policy in expected]


@pytest.mark.parametrize('against_other', [False, True])
def test_with_a_right_model_bounds_are_the_sharp_ones(against_other):
  strata = Strata()
  columns, (model, other_model) = strata.draw(100_000)
  if against_other:
    expected = strata.bounds(strata.target - strata.other)
  else:
    columns, other_model = columns[:3], None
    logged = (strata.behaviour * strata.mean).sum(1).mean()
    expected = [end - logged for end in strata.bounds(strata.target)]
  found = effect_bounds(*columns, gamma=strata.gamma, model=model, other_model=other_model)
  for estimate, end in zip((found.least, found.most), expected, strict=True):
    error = (estimate.high - estimate.low) / 4
    assert abs(estimate.value - end) < 4 * error
  # Without the model they are valid, and wider by far more than chance.
  blind = effect_bounds(*columns, gamma=strata.gamma)
  assert blind.least.value < expected[0] - 0.01
  assert blind.most.value > expected[1] + 0.01


def test_the_effect_by_a_model_is_the_paired_difference_of_doubly_robust_estimates():
  columns, models = Strata().draw(3_000)
  reward, pscore, target, other = columns
  first = estimators.dr(estimators.Rounds(reward, target / pscore, target, *models[0]))
  second = estimators.dr(estimators.Rounds(reward, other / pscore, other, *models[1]))
  change = np.asarray(first.direct + first.correction - second.direct - second.correction)
  found = effect(*columns, model=models[0], other_model=models[1])
  assert found.value == pytest.approx(change.mean(), abs=1e-6)
  interval = corrected_t(change)
  assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-4)
  against_logged = effect(*columns[:3], model=models[0])
  paired = np.asarray(first.direct + first.correction) - reward
  assert against_logged.value == pytest.approx(paired.mean(), abs=1e-6)


def test_bounds_widen_with_gamma_up_to_the_extreme_rewards():
  reward, pscore, target, _ = log(3, n=40)
  bounds = [effect_bounds(reward, pscore, target, gamma=g) for g in (1, 1.1, 1.5, 3, 10, 1e9)]
  least, most = ([getattr(b, end).value for b in bounds] for end in ('least', 'most'))
  assert (np.diff(least) < 0).all()
  assert (np.diff(most) > 0).all()
  # An action that was shown tells its reward; of those that were not it may be anything.
  weight = target / pscore
  for end, extreme in ((least[-1], reward.min()), (most[-1], reward.max())):
    limit = weight @ (pscore * reward + (1 - pscore) * extreme) / weight.sum() - reward.mean()
    assert end == pytest.approx(limit, abs=1e-6)


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
    ({'model': Model(np.ones(2), np.ones(3))}, r'model.logged is \[2\] and reward \[3\]'),
    ({'other_model': Model(*np.ones((2, 3)))}, 'other_model: goes with model and other'),
    ({'other': np.ones(2)}, r'other is \[2\] and reward \[3\]'),
  ],
)
def test_bad_input_is_one_line(changes, message):
  columns = {'reward': np.ones(3), 'pscore': np.full(3, 0.5), 'target': np.ones(3), 'gamma': 2.0}
  with pytest.raises(InputError, match=message) as error:
    effect_bounds(**{**columns, **changes})
  assert '\n' not in str(error.value)
