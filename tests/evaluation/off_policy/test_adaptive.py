"""Intervals from adaptive logs: a loop by the formula, predictability, and coverage."""

import numpy as np
import pytest

from rec_jax.evaluation.off_policy import estimators, intervals
from rec_jax.evaluation.off_policy.adaptive import adaptive
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.types import InputError


def bandit(seed, num_rounds):
  """Two arms of equal worth 0, and of the first its rounds, in a log that goes after what paid.

  Each arm in turn gets the share t^-0.7 / 2, as what has disappointed does under bandits; which
  one that is hangs on the first rewards, so that what disappointed by chance is rarely tried again.
  """
  rng = np.random.default_rng(seed)
  reward, arm = rng.normal(size=num_rounds), np.zeros(num_rounds, int)
  chance, total = np.zeros(num_rounds), np.zeros(2)
  for t in range(num_rounds):
    rare = 0.5 * (t + 1) ** -0.7
    first = 0.5 if t < 10 else (rare if total[0] < total[1] else 1 - rare)
    arm[t] = rng.random() > first
    chance[t] = first
    total[arm[t]] += reward[t]
  zeros = np.zeros(num_rounds)
  shown = (arm == 0).astype(float)
  return estimators.Rounds(reward, shown / chance, shown, zeros, zeros, second_moment=1 / chance)


def test_it_is_the_weighted_mean_of_the_paper():
  rounds = bandit(0, 300)
  moment, score = rounds.second_moment, rounds.weight * rounds.reward
  h = [1 / np.sqrt(max(np.mean(moment[:t]), 1)) if t else 1 for t in range(300)]
  value = sum(h[t] * score[t] for t in range(300)) / sum(h)
  variance = sum(h[t] ** 2 * (score[t] - value) ** 2 for t in range(300)) / sum(h) ** 2
  found = adaptive(rounds)
  assert found.value == pytest.approx(value, rel=1e-5)
  values = value + 300 * np.array(h) * (np.asarray(score) - value) / sum(h)
  assert np.sqrt((values**2).mean() - value**2) / np.sqrt(300) == pytest.approx(np.sqrt(variance))
  expected = corrected_t(values)
  assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-5)
  even = adaptive(rounds.replace(second_moment=np.ones(300)))
  plain = intervals.student(estimators.ipw(rounds))
  assert (even.low, even.high) == pytest.approx((plain.low, plain.high), rel=1e-5)


def test_no_round_weighs_itself():
  rounds = bandit(1, 50)
  changed = rounds.second_moment.copy()
  changed[-1] = 1e6
  assert adaptive(rounds.replace(second_moment=changed)) == adaptive(rounds)


def test_it_covers_and_is_narrower_with_and_without_the_whole_policy():
  found = {'whole': [], 'logged': [], 'plain': []}
  for seed in range(300):
    rounds = bandit(seed, 400)
    found['whole'].append(adaptive(rounds, level=0.9))
    found['logged'].append(adaptive(rounds.replace(second_moment=None), level=0.9))
    found['plain'].append(intervals.student(estimators.ipw(rounds), level=0.9))
  covered = {k: np.mean([e.low < 0 < e.high for e in each]) for k, each in found.items()}
  width = {k: np.mean([e.high - e.low for e in each]) for k, each in found.items()}
  assert covered['whole'] > 0.86 and covered['logged'] > 0.86, covered
  assert width['whole'] < 0.9 * width['plain'], width


def test_other_estimators_and_actions_that_are_never_logged():
  rounds = bandit(2, 50)
  assert adaptive(rounds, estimators.ipw) == adaptive(rounds)
  value = adaptive(rounds, estimators.snipw)
  assert value.value == pytest.approx(float(estimators.reduce(estimators.snipw(rounds))), rel=1e-5)
  assert np.isnan(value.low) and np.isnan(value.high)
  never = rounds.replace(second_moment=np.r_[np.ones(7), np.inf, np.ones(42)])
  with pytest.raises(InputError, match='row 7: the policy that logged never takes'):
    adaptive(never)
