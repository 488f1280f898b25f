"""Estimated and balanced propensities, where the true ones are known."""

import numpy as np
import pytest
from scipy import optimize

from rec_jax.evaluation.off_policy import propensity_models
from rec_jax.evaluation.off_policy.choices import Choices
from rec_jax.evaluation.off_policy.propensity_models import balanced, estimated
from rec_jax.evaluation.off_policy.reward_models import folds

NUM_ACTIONS, DIM = 4, 3


def softmax(scores):
  chance = np.exp(scores - scores.max(1, keepdims=True))
  return chance / chance.sum(1, keepdims=True)


def drawn(seed, num_rounds, function=lambda x: x, num_offered=None):
  """Choices of a softmax policy of a function of the context, and its probabilities [n, C]."""
  rng = np.random.default_rng(seed)
  context = rng.normal(size=(num_rounds, DIM))
  scores = function(context) @ rng.normal(size=(DIM, NUM_ACTIONS)) / np.sqrt(DIM) + np.arange(4) / 4
  candidates = None
  if num_offered is not None:
    candidates = rng.random((num_rounds, NUM_ACTIONS)).argsort(1)[:, :num_offered]
    scores = np.take_along_axis(scores, candidates, axis=1)
    candidates[::3, -1], scores[::3, -1] = -1, -np.inf
  chance = softmax(scores)
  action = (chance.cumsum(1) > rng.random((num_rounds, 1)) * (1 - 1e-12)).argmax(1)
  place = action
  if candidates is not None:
    action = candidates[np.arange(num_rounds), action]
  return Choices(context, action, NUM_ACTIONS, candidates), chance, place


def log_error(found, chance, place):
  return np.sqrt(np.mean(np.log(found / chance[np.arange(len(place)), place]) ** 2))


@pytest.mark.parametrize('num_offered', [None, 3])
def test_propensities_come_to_the_true_ones_as_the_log_grows(num_offered):
  errors = []
  for num_rounds in (500, 8_000):
    choices, chance, place = drawn(0, num_rounds, num_offered=num_offered)
    found, misfit = estimated(choices, folds(0, num_rounds, 3))
    assert misfit is None
    errors.append(log_error(found, chance, place))
  # Sixteen times the rounds is a fourth of the error, for a right model.
  assert errors[1] < 0.06 and errors[1] < errors[0] / 2.5


def test_values_by_estimated_propensities_are_near_those_by_the_true_ones():
  uniform, errors = 1 / NUM_ACTIONS, {500: [], 8_000: []}
  for num_rounds, found in errors.items():
    for seed in range(8):
      choices, chance, place = drawn(seed, num_rounds)
      reward = (choices.context[:, 0] > 0) * (place == 1) + (place == 2)
      truth = np.mean((choices.context[:, 0] > 0) + 1) * uniform
      for propensity in (
        estimated(choices, folds(0, num_rounds, 3))[0],
        balanced(choices, folds(0, num_rounds, 3), np.full(chance.shape, uniform)),
        chance[np.arange(num_rounds), place],
      ):
        found.append(np.mean(uniform / propensity * reward) - truth)
  few, many = (np.reshape(found, (8, 3)) for found in errors.values())
  spread = np.sqrt((many[:, 2] ** 2).mean())
  for column in (0, 1):
    assert abs(many[:, column].mean()) < spread
    assert np.sqrt((many[:, column] ** 2).mean()) < 1.5 * spread
    assert np.abs(many[:, column]).mean() < np.abs(few[:, column]).mean()


def test_no_round_is_seen_by_the_model_of_its_own_propensity():
  # What models say of all actions of a round adds to one, whatever was chosen, unless they saw it.
  choices, _, _ = drawn(1, 60)
  for function in (
    lambda each, fold: estimated(each, fold)[0],
    lambda each, fold: balanced(each, fold, np.full((60, NUM_ACTIONS), 1 / NUM_ACTIONS)),
  ):
    for row in (0, 17):
      total = 0.0
      for action in range(NUM_ACTIONS):
        changed = choices.action.copy()
        changed[row] = action
        total += function(choices._replace(action=changed), folds(0, 60, 3))[row]
      assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize('num_rounds', [600, 6_000])
def test_a_wrong_model_is_found_out(num_rounds):
  choices, _, _ = drawn(2, num_rounds, lambda x: 2 * x**2)
  misfit = estimated(choices, folds(0, num_rounds, 3))[1]
  assert misfit.column is not None
  far = np.abs(choices.context[:, misfit.column] - np.median(choices.context[:, misfit.column]))
  rows = far > np.median(far)
  assert misfit.logged == (choices.action[rows] == misfit.action).sum()
  assert abs(misfit.logged - misfit.expected) > 3 * np.sqrt(misfit.expected) / 2
  squared = choices._replace(context=choices.context**2)
  assert estimated(squared, folds(0, num_rounds, 3))[1] is None


def test_a_policy_that_is_surer_than_a_softmax_is_found_out():
  rng = np.random.default_rng(0)
  context = rng.normal(size=(3_000, 3))
  best = (context @ rng.normal(size=(3, 4))).argmax(1)
  action = np.where(rng.random(3_000) < 0.2, rng.integers(4, size=3_000), best)
  assert estimated(Choices(context, action, 4), folds(0, 3_000, 3))[1] is not None


def test_a_right_model_is_rarely_called_wrong():
  alarms = [estimated(drawn(seed, 300)[0], folds(0, 300, 3))[1] is not None for seed in range(40)]
  assert sum(alarms) <= 1


def test_frequencies_have_the_prior_that_foretells_each_round_best():
  rng = np.random.default_rng(3)
  action = np.minimum(rng.geometric(0.3, size=200) - 1, 9)
  choices = Choices(np.zeros((200, 0)), action, 10)
  count = np.bincount(action, minlength=10)

  def left_out(prior):
    chance = (count - 1 + prior / 10) / (199 + prior)
    return -(count * np.log(np.where(count > 0, chance, 1))).sum()

  grid = np.geomspace(1, 1e4, 20_001)
  prior = grid[np.argmin([left_out(each) for each in grid])]
  expected = 10 * (count + prior / 10) / (200 + prior)
  found = propensity_models.frequencies(choices, np.arange(200))
  np.testing.assert_allclose(found, expected, rtol=1e-3)
  # Of what is chosen uniformly the prior leaves nothing but the uniform law.
  even = Choices(np.zeros((200, 0)), np.arange(200) % 10, 10)
  np.testing.assert_allclose(propensity_models.frequencies(even, np.arange(200)), 1, rtol=1e-3)


def test_the_prior_is_the_variance_of_slopes_that_made_the_gradients():
  """Gradients at slopes of 0 that are curvature times the slopes, and noise of a known variance."""
  rng, size = np.random.default_rng(0), (20_000, 3)
  variance = np.array([0.5, 0.2, 0.0])
  curvature, spread = rng.uniform(2, 50, size), rng.uniform(1, 20, size)
  noise = rng.normal(size=size) * np.sqrt(spread)
  gradient = curvature * rng.normal(size=size) * np.sqrt(variance) + noise
  # What is too rare to tell anything is left out, whatever it says.
  curvature[:100], gradient[:100] = 1e-3, 1e6
  found = propensity_models._prior(gradient, curvature, spread)
  # The intercept makes up for what slopes add to the sum over actions.
  np.testing.assert_allclose(found, [0.7, 0.2, 0.0], rtol=0.05, atol=0.005)


def test_derivatives_of_both_losses():
  rng = np.random.default_rng(4)
  scores, policy = rng.normal(size=(1, 5)), rng.dirichlet(np.ones(5), size=1)
  policy[0, 4], policy[0, :4] = 0, policy[0, :4] / policy[0, :4].sum()
  rows, place = np.arange(1), np.array([1])
  for loss in (propensity_models._multinomial, propensity_models._classifier(policy)):

    def value(x, loss=loss):
      return loss(x[None].copy(), place, rows, False)[0]

    gradient, curvature, _ = loss(scores.copy(), place, rows, True)[1]
    numeric = optimize.approx_fprime(scores[0], value, 1e-6)
    np.testing.assert_allclose(gradient[0], numeric, atol=1e-4)
    # Expected over actions by the model's own chances: mean 0, and the curvature is that of it.
    chance = softmax(scores)[0]
    each = [loss(scores.copy(), np.array([a]), rows, True)[1] for a in range(5)]
    np.testing.assert_allclose(
      sum(p * e[0][0] for p, e in zip(chance, each, strict=True)), 0, atol=1e-6
    )
    spread = sum(p * e[0][0] ** 2 for p, e in zip(chance, each, strict=True))
    np.testing.assert_allclose(each[0][2][0], spread, atol=1e-6)
    slope = np.zeros(5)
    for k in range(5):
      ends = []
      for step in (1e-5, -1e-5):
        moved = scores + step * np.eye(5)[k]
        ends.append(
          sum(
            p * loss(moved.copy(), np.array([a]), rows, False)[1][0][0, k]
            for a, p in enumerate(chance)
          )
        )
      slope[k] = (ends[0] - ends[1]) / 2e-5
    np.testing.assert_allclose(curvature[0], slope, atol=1e-4)


def test_what_is_unsure_is_as_likely_as_on_average_over_what_it_may_be():
  rng = np.random.default_rng(0)
  columns, variance = rng.normal(size=(5, 2)), rng.random((NUM_ACTIONS, 2))
  slopes, base = rng.normal(size=(2, NUM_ACTIONS, 2))
  draws = slopes + np.sqrt(variance) * rng.normal(size=(200_000, NUM_ACTIONS, 2))
  mean = [np.exp(draws @ column + base[:, 0]).mean(0) for column in columns]
  offered = np.tile(np.arange(NUM_ACTIONS)[::-1], (5, 1))
  for candidates, order in ((None, slice(None)), (offered, slice(None, None, -1))):
    choices = Choices(columns, np.zeros(5, int), NUM_ACTIONS, candidates)
    fitted = propensity_models._Fitted(choices, np.arange(5), base[:, 0], slopes, variance)
    ((_, _, scores),) = propensity_models._chunks(fitted, unsure=True)
    np.testing.assert_allclose(np.exp(scores[:, order]), mean, rtol=0.05)


@pytest.mark.parametrize('num_rounds', [3, 4, 50])
@pytest.mark.parametrize('num_actions', [1, 2, 70])
def test_every_size_gives_probabilities(num_rounds, num_actions):
  rng = np.random.default_rng(5)
  column = rng.normal(size=num_rounds)
  # A constant, a column twice, and more columns than rounds.
  context = np.c_[np.ones(num_rounds), column, column, rng.normal(size=(num_rounds, 5))]
  action = rng.integers(num_actions, size=num_rounds)
  choices, fold = Choices(context, action, num_actions), folds(0, num_rounds, 3)
  policy = np.full((num_rounds, num_actions), 1 / num_actions)
  for found in (estimated(choices, fold)[0], balanced(choices, fold, policy)):
    assert (found > 0).all() and (found <= 1 + 1e-6).all()
    if num_actions == 1:
      np.testing.assert_allclose(found, 1, rtol=1e-6)


def test_rare_actions_do_not_get_lost():
  # Half of the actions come once or never; without shrinkage weights would average far below 1.
  rng = np.random.default_rng(6)
  action = rng.integers(1_000, size=1_000)
  choices = Choices(np.zeros((1_000, 0)), action, 1_000)
  found = estimated(choices, folds(0, 1_000, 3))[0]
  assert np.mean(1e-3 / found) == pytest.approx(1, abs=0.1)
