"""Every explorer against numbers worked out on paper, before and after updates.

Four candidates, of which the first, the most promising one, is masked; the gaps of the others to
the best of them are 0.3, 0 and 0.1, their deviations 0.2, 0.05 and 0.2.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy import optimize

from rec_jax.bandits.base import Outlook
from rec_jax.bandits.choice import (
  argmax_probabilities,
  masked_argmax,
  masked_categorical,
  uniform_probabilities,
)
from rec_jax.bandits.explorers.counted import kl_ucb, moss, ucb1
from rec_jax.bandits.explorers.counting import count_rows, init_count
from rec_jax.bandits.explorers.elimination import elimination
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.explore_then_commit import explore_then_commit
from rec_jax.bandits.explorers.greedy import greedy
from rec_jax.bandits.explorers.information_directed import (
  best_mixture,
  information_directed,
  regret_and_information,
)
from rec_jax.bandits.explorers.inverse_gap import falcon, fastcb, squarecb
from rec_jax.bandits.explorers.percentile_ucb import percentile_ucb
from rec_jax.bandits.explorers.softmax import softmax
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.top_two import top_two_thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.explorers.uncertainty_sampling import uncertainty_sampling
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.explorers.vdbe import vdbe
from tests.bandits import problems

KEY = jax.random.key(0)
MASK = jnp.array([False, True, True, True])
MEAN = jnp.array([0.9, 0.2, 0.5, 0.4])
DEVIATION = jnp.array([1.0, 0.2, 0.05, 0.2])
OUTLOOK = Outlook(MEAN, DEVIATION**2, None, None)
ALL = jnp.ones(2, bool)

CASES = {
  'uniform': (uniform(), 0, [0, 1 / 3, 1 / 3, 1 / 3]),
  'greedy': (greedy(), 0, [0, 0, 1, 0]),
  # Sutton & Barto 2018, section 2.2: 0.3 / 3 each, and 0.7 for the best.
  'epsilon_greedy': (epsilon_greedy(0.3), 0, [0, 0.1, 0.8, 0.1]),
  'explore': (explore_then_commit(5), 4, [0, 1 / 3, 1 / 3, 1 / 3]),
  'commit': (explore_then_commit(5), 5, [0, 0, 1, 0]),
  # e^-3, 1 and e^-1 over their sum 1.4176665.
  'softmax': (softmax(0.1), 0, [0, 0.0351190, 0.7053845, 0.2594965]),
  # Bounds 0.3, 0.525, 0.5 and 0.4, 0.55, 0.6 (Li et al. 2010, algorithm 1).
  'ucb_narrow': (ucb(0.5), 0, [0, 0, 1, 0]),
  'ucb_wide': (ucb(1.0), 0, [0, 0, 0, 1]),
  # The normal distribution's 69.15th and 84.13th percentiles are half a deviation and one above.
  'percentile_narrow': (percentile_ucb(69.15), 0, [0, 0, 1, 0]),
  'percentile_wide': (percentile_ucb(84.13), 0, [0, 0, 0, 1]),
  # 0.11 to 0.29, 0.4775 to 0.5225, and 0.31 to 0.49, which reaches 0.4775 and not the mean above.
  'elimination_narrow': (elimination(0.45), 0, [0, 0, 0.5, 0.5]),
  # With 2 deviations 0.6 of the first reaches 0.4.
  'elimination_wide': (elimination(2.0), 0, [0, 1 / 3, 1 / 3, 1 / 3]),
  # 0.495 to 0.505 is above the others; the closed one, from 0.8 on, eliminates nobody.
  'elimination_of_the_open': (elimination(0.1), 0, [0, 0, 1, 0]),
  # Losses 0.8, 0.5, 0.6, and gamma = 10 sqrt(9): 0.5 / (1.5 + 30 * 0.3) and 0.5 / (1.5 + 30 * 0.1).
  'fastcb': (fastcb(10.0), 9, [0, 1 / 21, 1 - 1 / 21 - 1 / 9, 1 / 9]),
  'uncertainty_sampling': (uncertainty_sampling(), 0, [0, 0.5, 0, 0.5]),
  # Foster & Rakhlin 2020, algorithm 1: gamma = 10 sqrt(t) is 10 before any row, and 30 after nine;
  # 1 / (3 + 30 * 0.3) = 1 / 12, 1 / (3 + 30 * 0.1) = 1 / 6, and what remains.
  'squarecb_first': (squarecb(10.0), 0, [0, 1 / 6, 7 / 12, 1 / 4]),
  'squarecb': (squarecb(10.0), 9, [0, 1 / 12, 3 / 4, 1 / 6]),
  # gamma = 10 t is 40.
  'squarecb_linear': (squarecb(10.0, 1.0), 4, [0, 1 / 15, 1 - 1 / 15 - 1 / 7, 1 / 7]),
  # Simchi-Levi & Xu 2022, algorithm 1: the epoch of row 9 began at 8, so that gamma is
  # 2 sqrt(3 * 8) = 9.7979590: 1 / 5.9393877 and 1 / 3.9797959; at first it is 2 sqrt(3).
  'falcon_first': (falcon(2.0), 0, [0, 0.2475719, 0.4536001, 0.2988280]),
  'falcon': (falcon(2.0), 9, [0, 0.1683675, 0.5803633, 0.2512692]),
}


def asked(explorer, outlook):
  """(key, state, mask) -> the probabilities and a choice, of one program."""
  return problems.compiled(
    lambda key, state, mask: [
      ask(key, state, outlook, mask) for ask in (explorer.probabilities, explorer.select)
    ]
  )


@functools.cache
def said():
  """name -> the probabilities and a choice of each case, of one program."""

  @problems.compiled
  def run(counts, moments):
    outlook = OUTLOOK._replace(mean=moments[0], variance=moments[1])
    return {
      name: [ask(KEY, counts[name], outlook, MASK) for ask in (each.probabilities, each.select)]
      for name, (each, *_) in CASES.items()
    }

  counts = {name: np.int32(count) for name, (_, count, _) in CASES.items()}
  return jax.device_get(run(counts, (OUTLOOK.mean, OUTLOOK.variance)))


@pytest.mark.parametrize('name', CASES)
def test_probabilities_are_those_of_the_paper(name):
  explorer, _, expected = CASES[name]
  got, chosen = said()[name]
  np.testing.assert_allclose(got, expected, atol=2e-6)
  # A choice that is certain is made.
  assert expected[chosen] > 0
  assert explorer.is_exact(None)


def kl_bound(mean, number, room):
  """Garivier & Cappe 2011, algorithm 1, by a root finder in float64."""

  def excess(q):
    return number * (mean * np.log(mean / q) + (1 - mean) * np.log((1 - mean) / (1 - q))) - room

  return optimize.brentq(excess, mean, 1 - 1e-12) if excess(1 - 1e-12) > 0 else 1.0


INDICES = {
  # Auer et al. 2002, figure 1.
  'ucb1': (ucb1(), lambda mean, n, t: mean + np.sqrt(2 * np.log(t) / n)),
  'kl_ucb': (kl_ucb(), lambda mean, n, t: kl_bound(mean, n, np.log(t))),
  'kl_ucb_3': (
    kl_ucb(3.0),
    lambda mean, n, t: kl_bound(mean, n, np.log(t) + 3 * np.log(np.log(t))),
  ),
  # Audibert & Bubeck 2009, of four arms.
  'moss': (
    moss(1_000),
    lambda mean, n, t: mean + np.sqrt(max(np.log(1_000 / (4 * n)), 0) / n),
  ),
}


@pytest.mark.parametrize('name', INDICES)
def test_the_arm_of_the_highest_index_is_chosen(name):
  explorer, index = INDICES[name]
  select = problems.compiled(explorer.select)
  rng = np.random.default_rng(0)
  num_compared = 0
  for _ in range(80):
    mean, number = rng.uniform(0.05, 0.95, 4), rng.integers(1, 400, 4).astype(float)
    t = int(number.sum())
    indices = np.array([index(*arm, t) for arm in zip(mean, number, strict=True)])
    best, second = np.argsort(indices)[:-3:-1]
    # The two highest are brought to a hundredth of each other, the higher one above.
    mean[best] -= max(indices[best] - indices[second] - 0.01, 0)
    if mean[best] <= 0:
      continue
    indices[best] = index(mean[best], number[best], t)
    expected = np.argmax(indices)
    if np.sort(indices)[-1] - np.sort(indices)[-2] > 1e-4:
      outlook = Outlook(jnp.asarray(mean), jnp.asarray(1 / number), None, None)
      chosen = select(KEY, jnp.int32(t), outlook, jnp.ones(4, bool))
      assert chosen == expected
      num_compared += 1
  assert num_compared > 40


COUNTED = Outlook(jnp.array([0.5, 0.6, 0.55]), jnp.array([0.1, 0.025, 0.02]), None, None)


@problems.compiled
def of_unseen(count):
  unseen = COUNTED._replace(variance=jnp.array([0.1, jnp.inf, jnp.inf]))
  return [
    explorer.probabilities(KEY, count, unseen, jnp.ones(3, bool))
    for explorer in (ucb1(), kl_ucb(), moss())
  ]


@pytest.mark.parametrize('count', [0, 1, 500])
def test_arms_that_were_never_chosen_come_first(count):
  for got in of_unseen(jnp.int32(count)):
    np.testing.assert_allclose(got, [0, 0.5, 0.5])


def test_early_rows_and_closed_arms_count_for_an_index_by_hand():
  # ln ln 2 is below 0 and left out: d(0.5, 0.933) = ln 2, and 0.66 for the better known arm.
  early = Outlook(jnp.array([0.5, 0.6]), jnp.array([1.0, 0.01]), None, None)
  assert asked(kl_ucb(3.0), early)(KEY, jnp.int32(2), ALL)[1] == 0
  # Two open arms: 0.5 + sqrt(ln(50) / 10) = 1.126 and 0.99 + sqrt(ln(5) / 100) = 1.117; were they
  # three, 1.092 and 1.100.
  outlook = Outlook(jnp.array([0.5, 0.99, 0.9]), jnp.array([0.1, 0.01, 0.1]), None, None)
  mask = jnp.array([True, True, False])
  assert asked(moss(1_000), outlook)(KEY, jnp.int32(110), mask)[1] == 0


def test_rows_of_non_zero_weight_are_counted():
  rows = problems.feedback(0, 4).replace(weight=jnp.array([1.0, 0.0, 0.5, 2.0]))
  count = init_count(KEY, problems.SPEC)
  assert count == 0
  assert count_rows(count + 2, rows) == 5
  explorer = information_directed()
  state = explorer.init(KEY, problems.SPEC)
  assert explorer.update(state, rows).count == 3


def test_vdbe_takes_the_steps_of_tokic():
  explorer = vdbe(sensitivity=0.1, step_size=0.25)
  # Tokic 2010, equation 6: 1 + (tanh(0.2 / 0.1 / 2) - 1) / 4 = 0.9403985, the padded row changes
  # nothing, then 0.9403985 + (tanh(0.05 / 0.1 / 2) - 0.9403985) / 4 = 0.7665286.
  epsilon = jnp.float32(1.0)
  for change, weight in ((0.2, 1.0), (9.0, 0.0), (-0.05, 1.0)):
    epsilon = explorer.watch(epsilon, jnp.float32(change), jnp.float32(weight))
  np.testing.assert_allclose(epsilon, 0.7665286, rtol=1e-5)
  # A third of it each, and the rest for the best.
  got, _ = asked(explorer, OUTLOOK)(KEY, epsilon, MASK)
  np.testing.assert_allclose(got, [0, 0.2555095, 0.4889809, 0.2555095], atol=1e-6)


@pytest.mark.parametrize(('scale', 'best'), [(1.0, 0.6554217), (0.5, 0.7881446)])
def test_thompson_of_two_normal_candidates_is_a_normal_probability(scale, best):
  # N(0.5, 0.3^2) is above N(0.3, 0.4^2) with probability Phi(0.2 / (scale * 0.5)).
  mean, deviation = jnp.array([0.5, 0.3]), jnp.array([0.3, 0.4])
  outlook = Outlook(mean, deviation**2, None, lambda x: norm.cdf(x, mean, deviation))
  explorer, normal = thompson(scale), outlook._replace(is_normal=True)
  got = jax.jit(lambda key: explorer.probabilities(key, 0, outlook, ALL))(KEY)
  np.testing.assert_allclose(got, [best, 1 - best], atol=2e-4)
  propensity = jax.jit(lambda index: explorer.propensity(KEY, 0, normal, ALL, index))
  got = [propensity(index) for index in (0, 1)]
  np.testing.assert_allclose(got, [best, 1 - best], atol=1e-6)


def test_thompson_counts_the_best_of_its_draws():
  draws = jnp.array([[1.0, 0.0, 9.0], [0.6, 0.5, 9.0], [0.1, 0.4, 9.0], [0.3, 0.3, 9.0]])
  mean = jnp.array([0.5, 0.5, 9.0])
  outlook = Outlook(mean, None, lambda key, number: draws[:number], None)
  mask = jnp.array([True, True, False])
  got, chosen = asked(thompson(num_samples=4), outlook)(KEY, 0, mask)
  # Two and a half of four draws, and half of a fifth: (2.5 + 1 / 2) / (4 + 1).
  np.testing.assert_allclose(got, [3 / 5, 2 / 5, 0], rtol=1e-6)
  assert chosen == 0
  # Draws turned around their mean: the first, 1 and 0, becomes 0 and 1.
  turned = outlook._replace(members=2 * mean - draws[:3])
  got, _ = asked(thompson(), turned)(KEY, 0, mask)
  np.testing.assert_allclose(got, [1 / 3, 2 / 3, 0], rtol=1e-6)


@pytest.mark.parametrize('exact', ['is_normal', 'cdf', 'members'])
def test_thompson_knows_when_it_is_exact(exact):
  nothing = Outlook(None, None, None, None)
  assert thompson().is_exact(nothing._replace(**{exact: True}))
  assert top_two_thompson().is_exact(nothing._replace(**{exact: True}))
  assert not thompson().is_exact(nothing)


def test_top_two_shares_between_leader_and_challenger():
  members = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
  outlook = Outlook(members.mean(0), None, lambda key, n: members[:n], None, members)
  mask = jnp.ones(3, bool)
  cases = (0.6, 2), (1.0, 2), (0.0, 2), (0.0, 1)
  explorers = [top_two_thompson(beta, num_redraws=number) for beta, number in cases]

  @problems.compiled
  def run(key):
    chances = explorers[0].probabilities(key, 0, outlook, mask)
    return chances, [explorer.select(key, 0, outlook, mask) for explorer in explorers[1:]]

  got, chosen = run(KEY)
  # Leaders 1/2, 1/4, 1/4. The first challenges either other leader with 1/2 (1 - 1/16) / (3/4) =
  # 5/8 and stays with 1/2 * (1/2)^2: 5/16 + 1/8 = 7/16; so 0.6 / 2 + 0.4 * 7/16 (Russo 2020).
  np.testing.assert_allclose(got, [0.475, 0.2625, 0.2625], rtol=1e-5)
  # The first draw leads; the first of two redraws that differs is the third draw.
  assert [int(each) for each in chosen] == [0, 1, 0]


def test_information_is_the_variance_of_what_the_best_tells():
  draws = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
  regret, information = problems.compiled(regret_and_information)(draws, ALL)
  # Means 3/4 and 1/2, the best is worth 5/4; given who is best rewards are (1, 0) or (0, 2):
  # 3/4 (1/4)^2 + 1/4 (3/4)^2 and 3/4 (1/2)^2 + 1/4 (3/2)^2.
  np.testing.assert_allclose(regret, [0.5, 0.75], rtol=1e-6)
  np.testing.assert_allclose(information, [0.1875, 0.75], rtol=1e-6)
  explorer = information_directed(4)
  outlook = Outlook(None, None, lambda key, number: draws[:number], None)
  # (3/4)^2 / (3/4) is less than (1/2)^2 / (3/16), and than any mixture.
  state = explorer.init(KEY, problems.SPEC)
  chances, chosen = asked(explorer, outlook)(KEY, state, ALL)
  np.testing.assert_allclose(chances, [0, 1], atol=1e-6)
  assert chosen == 1


@pytest.mark.parametrize(
  ('num_groups', 'num_draws'), [pytest.param(100, 128, marks=pytest.mark.soak), (10, 64)]
)
def test_information_is_not_made_of_chance(num_groups, num_draws):
  # The best is uniform over K, and tells 0 or 1 of a candidate that is worth `signal` more when it
  # is best itself; draws differ by unit noise besides, which tells nothing.
  signal = 2.0

  def one(key):
    best_key, noise_key = jax.random.split(key)
    best = jax.random.randint(best_key, (num_draws,), 0, num_groups)
    is_best = jax.nn.one_hot(best, num_groups)
    # A first column of its own holds what is asked about, and never wins.
    asked = signal * is_best[:, :1] + jax.random.normal(noise_key, (num_draws, 1))
    draws = jnp.concatenate([asked, 1_000 * is_best], axis=1)
    mask = jnp.arange(num_groups + 1) > 0
    return regret_and_information(draws, mask)[1][0]

  found = problems.compiled(jax.vmap(one))(jax.random.split(KEY, 4_000))
  share = 1 / num_groups
  truth = signal**2 * share * (1 - share)
  # Below 0 it is cut off, which lifts the mean a little where little is to be known.
  assert np.mean(found) == pytest.approx(truth, abs=0.08)
  # Without the correction one more unit of variance for each group, of so many draws.
  assert np.mean(found) < truth + 0.2 * (num_groups - 1) / num_draws


def test_information_is_drawn_anew_after_each_row():
  explorer = information_directed(2)
  equal = Outlook(jnp.zeros(2), jnp.ones(2), lambda key, n: jax.random.normal(key, (n, 2)), None)
  state = explorer.init(KEY, problems.SPEC)
  states = [dataclasses.replace(state, count=jnp.int32(t)) for t in range(6)]
  chances = problems.compiled(lambda key, state: explorer.probabilities(key, state, equal, ALL))
  shares = [float(chances(KEY, each)[0]) for each in states]
  assert len(set(shares)) > 1
  assert shares[0] == chances(jax.random.key(1), state)[0]


def test_who_is_sure_of_the_highest_reward_stakes_nothing():
  # 1 - 1.2 is no loss: nothing is left to explore for (Foster & Krishnamurthy 2021, algorithm 1).
  sure = Outlook(jnp.array([1.2, 0.5]), jnp.ones(2), None, None)
  np.testing.assert_array_equal(fastcb().probabilities(KEY, jnp.int32(4), sure, ALL), [1, 0])


def test_the_best_mixture_is_where_the_ratio_is_flat():
  # q = 0.5 / 0.4 - 2 * 0.1875 / 0.5625 of the second (Russo & Van Roy 2018, proposition 6).
  regret, information = jnp.array([0.5, 0.9, 0.1]), jnp.array([0.1875, 0.75, 9.0])
  mixture = problems.compiled(best_mixture)
  got = mixture(KEY, regret, information, jnp.array([True, True, False]))
  np.testing.assert_allclose(got, [5 / 12, 7 / 12, 0], rtol=1e-5)
  np.testing.assert_array_equal(mixture(KEY, regret, information, jnp.zeros(3, bool)), 0)


def test_choices_of_a_few():
  scores = jnp.array([3.0, 1.0, 2.0, 2.0, jnp.nan])
  mask = jnp.array([False, True, True, True, True])
  none, second = jnp.zeros(5, bool), jnp.arange(5) == 1

  @problems.compiled
  def chances(mask):
    return argmax_probabilities(scores, mask), uniform_probabilities(mask)

  of_best, of_all = chances(mask)
  np.testing.assert_allclose(of_best, [0, 0, 0.5, 0.5, 0])
  np.testing.assert_allclose(of_all, [0, 0.25, 0.25, 0.25, 0.25])
  np.testing.assert_array_equal(chances(none), np.zeros((2, 5)))
  one = jnp.array([0.0, 0.0, 0.0, 1.0, 0.0])

  @problems.compiled
  def chosen(mask):
    return masked_argmax(KEY, scores, mask), masked_categorical(KEY, one, mask)

  assert chosen(none) == (-1, -1)
  assert chosen(second)[0] == 1
  assert chosen(mask)[1] == 3
  assert problems.compiled(masked_argmax)(KEY, jnp.zeros(1), jnp.ones(1, bool)) == 0


@pytest.mark.parametrize(('percentile', 'best'), [(50.0, 2), (80.0, 3), (100.0, 1)])
def test_a_percentile_of_members_is_interpolated_between_two(percentile, best):
  members = jnp.array(
    [
      [9.0, 0.0, 0.4, 0.1],
      [9.0, 0.1, 0.5, 0.2],
      [9.0, 0.2, 0.5, 0.3],
      [9.0, 0.3, 0.5, 0.7],
      [9.0, 0.9, 0.6, 0.8],
    ]
  )
  # Of five: the third; 0.2 of the way from the fourth (80: 0.3 + 0.2 * 0.6 = 0.42, 0.52, 0.72); the
  # highest.
  outlook = OUTLOOK._replace(members=members)
  got, _ = asked(percentile_ucb(percentile), outlook)(KEY, jnp.int32(0), MASK)
  np.testing.assert_array_equal(got, np.eye(4)[best])
