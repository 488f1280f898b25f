"""Empirical likelihood: brute force over all distributions, coverage, and what it cannot say."""

import jax
import numpy as np
import pytest
from scipy import optimize, stats

from rec_jax.evaluation.off_policy import estimators, intervals
from rec_jax.evaluation.off_policy.evaluate import evaluate
from rec_jax.evaluation.off_policy.likelihood import likelihood


def rounds(weight, reward, q_logged=0.0, q_target=0.0):
  weight = np.asarray(weight, float)
  ones = np.ones(len(weight))
  with jax.enable_x64():
    columns = (reward * ones, weight, 0 * ones, q_logged * ones, q_target * ones)
    return estimators.Rounds(*(np.asarray(column, float) for column in columns))


WEIGHT = np.array([0, 0, 0.5, 0.5, 1, 1, 1, 2, 3, 0, 0.2, 2.5])
REWARD = (np.arange(12) % 3 == 0).astype(float)


def least_loss(added, weight, value=None):
  """Minus log-likelihood of the best distribution with mean weight 1, and a mean if given."""
  fixed = [lambda q: q.sum() - 1, lambda q: q @ weight - 1]
  fixed += [] if value is None else [lambda q: q @ added - value]
  size = len(weight)
  return optimize.minimize(
    lambda q: -np.log(size * q).sum(),
    np.full(size, 1 / size),
    jac=lambda q: -1 / q,
    constraints=[{'type': 'eq', 'fun': each} for each in fixed],
    bounds=[(1e-9, 1)] * size,
    method='SLSQP',
    options={'ftol': 1e-12, 'maxiter': 1_000},
  )


@pytest.mark.parametrize(
  'model', [(0.0, 0.0), (0.3 * np.cos(np.arange(12)), np.sin(np.arange(12)))]
)
def test_ends_are_those_of_all_distributions(model):
  log = rounds(WEIGHT, REWARD, *model)
  added = model[1] + WEIGHT * (REWARD - model[0])
  found = likelihood(log, estimators.dr)
  best = least_loss(added, WEIGHT)
  assert found.value == pytest.approx(best.x @ added, abs=1e-5)
  bound = stats.f.ppf(0.95, 1, 11)
  for end in (found.low, found.high):
    assert 2 * (least_loss(added, WEIGHT, end).fun - best.fun) == pytest.approx(bound, rel=1e-4)
  same = likelihood(log, estimators.sndr)
  ends = (found.low, found.value, found.high)
  assert (same.low, same.value, same.high) == pytest.approx(ends, rel=1e-5)


def test_it_covers_and_is_narrower_than_the_t_interval():
  chance, weights = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.6, 3.0]) / 0.88
  paid = np.array([0.2, 0.2, 0.6])
  value, found, plain = chance @ (weights * paid), [], []
  for seed in range(200):
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, p=chance, size=200)
    log = rounds(weights[kind], rng.random(200) < paid[kind])
    found.append(likelihood(log, estimators.ipw))
    plain.append(intervals.student(estimators.snipw(log)))
  covered = np.mean([each.low <= value <= each.high for each in found])
  assert 0.92 <= covered <= 0.98
  width, wider = (np.mean([each.high - each.low for each in every]) for every in (found, plain))
  assert width < 0.97 * wider


def test_users_count_as_one_each():
  log = rounds(np.repeat(WEIGHT, 3), np.repeat(REWARD, 3))
  found = likelihood(log, estimators.ipw, cluster=np.repeat(np.arange(12), 3))
  alone = likelihood(rounds(WEIGHT, REWARD), estimators.ipw)
  assert (found.low, found.value, found.high) == pytest.approx(
    (alone.low, alone.value, alone.high), rel=1e-5
  )
  assert found.n == 12


def test_what_it_knows_without_a_spread_and_what_it_cannot_know():
  # Rewards of 1 are worth 1, whatever the weights, as these average 1.
  sure = likelihood(rounds([0, 2.0, 0.5, 3], np.ones(4)), estimators.ipw)
  assert (sure.low, sure.value, sure.high) == pytest.approx((1, 1, 1))
  for weight in ([0.5, 0.2], [2.0, 3.0], [1.0]):
    unknown = likelihood(rounds(weight, np.ones(len(weight))), estimators.ipw)
    assert np.isnan(unknown.low) and np.isnan(unknown.high)
  replay = rounds([0, 2.0, 2.0], np.ones(3))
  assert np.isnan(likelihood(replay.replace(target=np.array([0, 1.0, 1.0])), estimators.replay).low)
  even = likelihood(rounds(np.ones(50), np.arange(50) % 2), estimators.ipw)
  assert even.low < 0.5 < even.high and even.value == pytest.approx(0.5)


def test_evaluate_gives_it():
  rng = np.random.default_rng(0)
  action = rng.integers(2, size=400)
  log = {
    'reward': (rng.random(400) < 0.2 + 0.5 * action).astype(float),
    'action': action,
    'pscore': np.full(400, 0.5),
    'action_dist': np.tile([0.3, 0.7], (400, 1))[:, :, None],
  }
  found = evaluate(jax.random.key(0), **log, interval='likelihood')
  assert found['ipw'].low < 0.55 < found['ipw'].high and found['ipw'].interval == 'likelihood'
  assert found['ipw'].value == pytest.approx(found['snipw'].value)
  by_user = evaluate(jax.random.key(0), **log, interval='likelihood', cluster=np.arange(400) // 4)
  assert by_user['ipw'].n == 100


def test_two_rounds_have_an_interval_within_what_was_seen():
  found = likelihood(rounds(np.ones(2), np.array([1.0, 0.0])), estimators.ipw)
  assert found.value == pytest.approx(0.5)
  assert 0 <= found.low < 1e-3 and 1 - 1e-3 < found.high <= 1


@pytest.mark.parametrize('reward', [0.0, np.arange(4.0)])
def test_weights_of_one_and_above_have_no_interval(reward):
  found = likelihood(rounds([1, 4.7e5, 19, 340], reward), estimators.dm)
  assert np.isnan([found.low, found.high]).all()
