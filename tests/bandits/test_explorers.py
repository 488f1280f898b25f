"""Closed-form probabilities match frequencies, and a wrong one is told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.scipy.stats import norm
from scipy import stats

from rec_jax.bandits.base import Outlook
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.explore_then_commit import explore_then_commit
from rec_jax.bandits.explorers.greedy import greedy
from rec_jax.bandits.explorers.information_directed import (
  best_mixture,
  information_directed,
  regret_and_information,
)
from rec_jax.bandits.explorers.inverse_gap import falcon, squarecb
from rec_jax.bandits.explorers.softmax import softmax
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.top_two import top_two_thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.explorers.uncertainty_sampling import uncertainty_sampling
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.explorers.vdbe import vdbe
from rec_jax.types import Feedback
from tests.bandits import problems

MEAN = jnp.array([0.9, 0.3, 0.5, 0.5, 0.1, 0.4])
DEVIATION = jnp.array([0.1, 0.2, 0.3, 0.3, 0.6, 0.1])
MASK = jnp.array([False, True, True, True, True, True])
NUM_DRAWS = 20_000
KEY = jax.random.key(0)

EXPLORERS = {
  'uniform': uniform(),
  'greedy': greedy(),
  'epsilon_greedy': epsilon_greedy(0.3),
  'ucb': ucb(0.7),
  'softmax': softmax(0.2),
  'explore_then_commit': explore_then_commit(0),
  'squarecb': squarecb(5.0),
  'falcon': falcon(3.0),
  'vdbe': vdbe(),
  'thompson': thompson(num_samples=20_000),
  'thompson_independent': thompson(),
  'thompson_scaled': thompson(0.4),
  'information_directed': information_directed(64),
  'uncertainty_sampling': uncertainty_sampling(),
  'top_two_thompson': top_two_thompson(0.6, num_redraws=4),
}


def outlook(mean=MEAN, deviation=DEVIATION, independent=True) -> Outlook:
  return Outlook(
    mean=mean,
    variance=deviation**2,
    sample=lambda key, num: mean + deviation * jax.random.normal(key, (num, len(mean))),
    cdf=(lambda x: norm.cdf(x, mean, deviation)) if independent else None,
  )


def probabilities_and_choices(explorer, view):
  """[K] what it says of each candidate, and how often it takes each; one program."""

  @jax.jit
  def run(key, keys):
    state = explorer.init(jax.random.key(0), problems.SPEC)
    index = jax.vmap(lambda key: explorer.select(key, state, outlook(), MASK))(keys)
    return explorer.probabilities(key, state, view, MASK), index

  keys = jax.random.split(jax.random.key(1), NUM_DRAWS)
  probabilities, index = jax.device_get(run(jax.random.key(2), keys))
  return np.asarray(probabilities, np.float64), np.bincount(index, minlength=len(MASK))


def probabilities_of(explorer, state, view, mask=MASK):
  """One program instead of one for each operation."""
  return jax.jit(lambda state: explorer.probabilities(jax.random.key(0), state, view, mask))(state)


def p_value(counts, probabilities) -> float:
  possible = probabilities > 0
  assert counts[~possible].sum() == 0
  if possible.sum() == 1:
    return 1.0
  expected = probabilities[possible] / probabilities[possible].sum() * counts.sum()
  return float(stats.chisquare(counts[possible], expected).pvalue)


@pytest.mark.parametrize('name', EXPLORERS)
def test_probabilities_match_frequencies_and_wrong_ones_do_not(name):
  explorer = EXPLORERS[name]
  # The joint draws behind an estimate leave an error that 20,000 choices can see.
  estimated = name == 'thompson'
  view = outlook(independent=not estimated)
  probabilities, counts = probabilities_and_choices(explorer, view)
  assert probabilities.sum() == pytest.approx(1, abs=1e-5)
  if estimated:
    np.testing.assert_allclose(counts / NUM_DRAWS, probabilities, atol=0.015)
  else:
    assert p_value(counts, probabilities) > 1e-3
  possible = np.flatnonzero(probabilities)
  if len(possible) > 1:
    wrong = probabilities.copy()
    wrong[possible[0]] *= 1.5
    assert p_value(counts, wrong) < 1e-4


def test_ties_are_broken_evenly_whatever_the_index():
  mask = jnp.arange(100) >= 10
  choose = jax.jit(jax.vmap(lambda key: uniform().select(key, 0, None, mask)))
  chosen = choose(jax.random.split(jax.random.key(0), 50_000))
  counts = np.bincount(chosen, minlength=100)
  assert counts[:10].sum() == 0
  assert stats.chisquare(counts[10:]).pvalue > 1e-3
  # Neighbouring indices are not favoured together either.
  assert stats.chisquare(counts[10:].reshape(9, 10).sum(axis=1)).pvalue > 1e-3


def test_thompson_estimates_are_never_zero_and_sum_to_one():
  explorer = thompson(num_samples=16)
  probabilities = probabilities_of(explorer, 0, outlook(independent=False))
  # One draw's worth is spread over the five that are open.
  assert np.all(probabilities[1:] >= 1 / (16 + 1) / 5 - 1e-7)
  assert float(probabilities.sum()) == pytest.approx(1)


def test_nan_scores_come_last():
  spoilt = outlook(mean=MEAN.at[2].set(jnp.nan).at[3].set(jnp.nan))
  assert jax.jit(lambda key: greedy().select(key, 0, spoilt, MASK))(jax.random.key(0)) == 5


@pytest.mark.parametrize(
  ('factory', 'schedule'),
  [
    (epsilon_greedy, optax.linear_schedule(1.0, 0.0, 10)),
    (ucb, optax.linear_schedule(5.0, 0.0, 10)),
    (softmax, optax.exponential_decay(1e3, 1, 1e-3, end_value=1e-3)),
    (thompson, optax.linear_schedule(50.0, 0.0, 10)),
  ],
)
def test_schedules_count_rows_of_non_zero_weight(factory, schedule):
  explorer = factory(schedule)
  start = explorer.init(jax.random.key(0), problems.SPEC)
  rows = problems.feedback(0, 12)
  rows = Feedback(**{**vars(rows), 'weight': rows.weight.at[:2].set(0)})
  end = explorer.update(start, rows)
  assert end == 10
  chances = jax.jit(lambda count: explorer.probabilities(KEY, count, outlook(), MASK))
  last, first = chances(end), chances(start)
  assert float(last[2] + last[3]) == pytest.approx(1, abs=0.02)
  assert float(first[2] + first[3]) < 0.8


def test_vdbe_explores_less_as_beliefs_settle_and_more_when_they_move():
  explorer = vdbe(sensitivity=0.1, step_size=0.2)
  start, watch = explorer.init(jax.random.key(0), problems.SPEC), jax.jit(explorer.watch)

  def after(epsilon, change):
    for _ in range(30):
      epsilon = watch(epsilon, jnp.float32(change), jnp.float32(1))
    return epsilon

  settled = after(start, 0.001)
  moved = after(settled, -1.0)
  assert start == 1
  assert settled == pytest.approx(np.tanh(0.005), abs=0.01)
  assert moved == pytest.approx(1, abs=0.01)


def test_explore_then_commit_commits_after_its_rows():
  explorer = explore_then_commit(10)
  chances = jax.jit(lambda count: explorer.probabilities(KEY, count, outlook(), MASK))
  before, after = chances(jnp.int32(9)), chances(jnp.int32(10))
  np.testing.assert_allclose(before[1:], 0.2, rtol=1e-6)
  np.testing.assert_allclose(after, [0, 0, 0.5, 0.5, 0, 0])


def test_falcon_keeps_its_rate_within_an_epoch():
  chances = jax.jit(lambda count: falcon().probabilities(KEY, count, outlook(), MASK))
  rates = [chances(jnp.int32(t)) for t in (8, 15, 16)]
  np.testing.assert_array_equal(rates[0], rates[1])
  assert rates[2][4] < rates[1][4]


@pytest.mark.parametrize('scale', [0.0, 1e-3, 1.0])
def test_quadrature_is_right_where_candidates_are_far_apart_or_certain(scale):
  view = outlook(jnp.array([10.0, 0.0, 9.9, 9.9]), jnp.array([0.1, 5.0, 0.1, 0.1]))
  mask = jnp.ones(4, bool)
  probabilities = probabilities_of(thompson(scale), 0, view, mask)
  assert float(probabilities.sum()) == pytest.approx(1, abs=1e-5)
  if scale < 1:
    np.testing.assert_allclose(probabilities, [1, 0, 0, 0], atol=1e-4)
  else:
    draws = np.random.default_rng(0).normal(view.mean, np.sqrt(view.variance), (400_000, 4))
    frequency = np.bincount(draws.argmax(axis=1), minlength=4) / len(draws)
    np.testing.assert_allclose(probabilities, frequency, atol=4e-3)


def test_regret_and_information_are_counts_over_draws_less_what_is_chance():
  draws = np.random.default_rng(0).normal(MEAN, DEVIATION, (500, 6)).astype(np.float32)
  regret, information = jax.jit(regret_and_information)(draws, MASK)
  best = np.where(MASK, draws, -np.inf).argmax(axis=1)
  between, within = np.zeros(6), np.zeros(6)
  groups = np.unique(best)
  for k in groups:
    own = draws[best == k]
    between += len(own) * (own.mean(axis=0) - draws.mean(axis=0)) ** 2
    within += ((own - own.mean(axis=0)) ** 2).sum(axis=0)
  # One-way analysis of variance: mean squares are within / (M - G).
  mean_square = within / (500 - len(groups))
  expected = np.maximum(between - (len(groups) - 1) * mean_square, 0) / 500
  np.testing.assert_allclose(information, expected, rtol=1e-3, atol=1e-7)
  highest = draws[np.arange(500), best].mean()
  np.testing.assert_allclose(regret, highest - draws.mean(axis=0), rtol=1e-4, atol=1e-6)


def test_no_distribution_has_less_regret_for_its_information():
  rng = np.random.default_rng(0)
  mixed, mixture = 0, jax.jit(best_mixture)
  for seed in range(20):
    regret, information = rng.uniform(0.01, 1, (2, 6)).astype(np.float32)
    probabilities = mixture(jax.random.key(seed), regret, information, MASK)
    p = np.asarray(probabilities, np.float64)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert p[0] == 0
    mixed += (p > 0).sum() == 2
    # Vertices, and pairs and all candidates in random proportions.
    others = np.concatenate([np.eye(5), rng.dirichlet(np.full(5, 0.2), 20_000)])
    ratio = (others @ regret[1:]) ** 2 / (others @ information[1:])
    assert (p @ regret) ** 2 / (p @ information) <= ratio.min() * (1 + 1e-4)
  assert mixed > 0


def test_an_ensemble_is_followed_as_often_as_its_members_agree():
  members = jnp.array([[0.0, 1.0, 0.0], [0.0, 1.0, 2.0], [3.0, 2.0, 1.0], [0.5, 0.5, 0.0]])
  view = Outlook(jnp.mean(members, axis=0), jnp.var(members, axis=0), None, None, members)
  probabilities = probabilities_of(thompson(), 0, view, np.ones(3, bool))
  np.testing.assert_allclose(probabilities, [1.5 / 4, 1.5 / 4, 1 / 4])
