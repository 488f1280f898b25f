"""Weights of embeddings and of convolved policies: limits, enumeration, and what is selected."""

import numpy as np
import pytest

from rec_jax.evaluation.off_policy import convolution, embeddings, two_policies
from rec_jax.evaluation.off_policy.two_policies import TwoPolicies
from tests.evaluation.off_policy import problems

NUM_ROUNDS, NUM_ACTIONS = 300, 6
# Two dimensions of a category; actions 0 and 3, 1 and 4, 2 and 5 share the first.
CATEGORIES = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 0]])


def two(seed=0, candidates=False, num_positions=2):
  """Both policies, and the weights of IPW."""
  rng = np.random.default_rng(seed)
  shape = (NUM_ROUNDS, NUM_ACTIONS, num_positions)
  target, behaviour = (problems.distribution(rng, *shape) for _ in range(2))
  position, offered = rng.integers(num_positions, size=NUM_ROUNDS), None
  if candidates:
    # In another order in each round; the last one is missing in every second round.
    offered = rng.permuted(np.tile(np.arange(NUM_ACTIONS), (NUM_ROUNDS, 1)), axis=1)
    offered[::2, -1] = -1
    for policy in (target, behaviour):
      policy[::2, -1] = 0
      policy /= policy.sum(1, keepdims=True)
  row, last = np.arange(NUM_ROUNDS), NUM_ACTIONS - 1
  place = rng.integers(last, size=NUM_ROUNDS)
  action = place if offered is None else offered[row, place]
  weight = target[row, place, position] / behaviour[row, place, position]
  return TwoPolicies(target, behaviour, action, position, offered), weight


def by_hand(policies, alike):
  """The ratio by a loop over actions; alike(a, b) is how much b counts for a."""
  found = []
  for i, action in enumerate(policies.action):
    above = below = 0.0
    for c in range(NUM_ACTIONS):
      other = c if policies.candidates is None else policies.candidates[i, c]
      if other >= 0:
        above += alike(action, other) * policies.target[i, c, policies.position[i]]
        below += alike(action, other) * policies.behaviour[i, c, policies.position[i]]
    found.append(above / below)
  return np.array(found)


@pytest.mark.parametrize('candidates', [False, True])
def test_known_embeddings_sum_over_the_actions_that_share_them(candidates, monkeypatch):
  # Several chunks, of which the last is shorter.
  monkeypatch.setattr(two_policies, 'CHUNK_CELLS', 7 * NUM_ACTIONS)
  policies, ipw = two(0, candidates)
  weights = embeddings.known(policies, CATEGORIES)
  np.testing.assert_allclose(
    weights([0]), by_hand(policies, lambda a, b: CATEGORIES[a, 0] == CATEGORIES[b, 0]), rtol=1e-12
  )
  np.testing.assert_allclose(weights([]), 1, rtol=1e-12)
  whole = embeddings.known(policies, np.arange(NUM_ACTIONS)[:, None])
  np.testing.assert_allclose(whole([0]), ipw, rtol=1e-12)


@pytest.mark.parametrize('candidates', [False, True])
def test_convolution_goes_from_ipw_to_the_mean_reward(candidates, monkeypatch):
  monkeypatch.setattr(two_policies, 'CHUNK_CELLS', 7 * NUM_ACTIONS)
  policies, ipw = two(1, candidates)
  features = np.random.default_rng(2).normal(size=(NUM_ACTIONS, 3))
  none, some, all_ = convolution.convolved_weights(policies, features, [0.0, 0.8, np.inf])
  np.testing.assert_allclose(none, ipw, rtol=1e-12)
  np.testing.assert_allclose(all_, 1, rtol=1e-12)

  def kernel(a, b):
    return np.exp(-((features[a] - features[b]) ** 2).sum() / (2 * 0.8**2))

  np.testing.assert_allclose(some, by_hand(policies, kernel), rtol=1e-9)


def test_bandwidths_hold_both_ends_and_the_distances_between():
  apart = np.array([[0.0], [0.0], [0.1], [5.0]])
  grid = convolution.bandwidths(apart)
  assert (grid[0], grid[-1]) == (0, np.inf)
  assert (grid[1], grid[-2]) == (pytest.approx(0.05), pytest.approx(10))
  assert convolution.bandwidths(np.zeros((3, 2))) == convolution.bandwidths(np.zeros((1, 2)))
  # Actions with the same features are one even without a bandwidth.
  policies, _ = two()
  same = np.array([0.0, 1, 2, 0, 1, 2])[:, None] + 1e3
  ours = convolution.convolved_weights(policies, same, [0.0])[0]
  np.testing.assert_allclose(ours, embeddings.known(policies, CATEGORIES)([0]), rtol=1e-12)


@pytest.mark.parametrize('direct', [0.0, 0.4])
def test_mips_is_unbiased_by_enumeration_where_actions_have_no_direct_effect(direct):
  tiny, group = problems.Tiny(num_actions=4), np.array([0, 0, 1, 1])
  # One action of each group is never taken: no weight of actions could do this.
  tiny.behaviour[:, [0, 2]] = 0
  tiny.behaviour /= tiny.behaviour.sum(1, keepdims=True)
  tiny.mean = tiny.mean[:, group] + direct * np.array([1, 0, 1, 0])
  truth = (tiny.target * tiny.mean).sum(1).mean()
  log, probability = tiny.everything()
  context = np.repeat(np.arange(3), 8)
  taken = probability > 0
  policies = TwoPolicies(
    tiny.target[context][taken][..., None],
    tiny.behaviour[context][taken][..., None],
    log['action'][taken],
    log['position'][taken],
  )
  weights = [embeddings.known(policies, group[:, None])([0])]
  weights += list(convolution.convolved_weights(policies, group[:, None], [0.0]))
  for weight in weights:
    value = probability[taken] @ (weight * log['reward'][taken])
    assert (abs(value - truth) < 1e-12) == (direct == 0)


def planted(num_rounds, seed, exact=0.9):
  """Embeddings that vary from round to round: two dimensions, of which the first alone counts."""
  rng = np.random.default_rng(seed)
  chance = np.full((NUM_ACTIONS, 3), (1 - exact) / 2)
  chance[np.arange(NUM_ACTIONS), np.arange(NUM_ACTIONS) % 3] = exact
  context = rng.normal(size=(num_rounds, 1))
  slope = rng.normal(size=NUM_ACTIONS)
  behaviour = np.exp(context * slope)
  behaviour /= behaviour.sum(1, keepdims=True)
  target = np.tile(np.array([0.7, 0.1, 0.05, 0.05, 0.05, 0.05]), (num_rounds, 1))
  action = (behaviour.cumsum(1) > rng.random((num_rounds, 1))).argmax(1)
  first = (chance[action].cumsum(1) > rng.random((num_rounds, 1))).argmax(1)
  embedding = np.stack([first, rng.integers(4, size=num_rounds)], axis=1)
  policies = TwoPolicies(target[..., None], behaviour[..., None], action, np.zeros(num_rounds, int))
  true = np.stack([policy @ chance for policy in (target, behaviour)])[:, range(num_rounds), first]
  return policies, embedding, true[0] / true[1]


def test_estimated_weights_are_near_the_true_ones():
  policies, embedding, true = planted(8_000, 0)
  fold = np.arange(8_000) % 3
  weights = embeddings.estimated(policies, embedding, NUM_ACTIONS, fold)
  ours = weights([0, 1])
  assert ((ours - true) ** 2).mean() / true.var() < 0.02
  assert ours.mean() == pytest.approx(1, abs=4 * true.std() / np.sqrt(8_000))
  # The second dimension is noise, and without any all weights are 1.
  assert ((weights([0]) - true) ** 2).mean() / true.var() < 0.02
  np.testing.assert_allclose(weights([]), 1, rtol=1e-12)


def test_no_round_is_weighed_by_its_own_count():
  policies, _ = two()
  fold, embedding = np.arange(NUM_ROUNDS) % 3, CATEGORIES[policies.action]
  before = embeddings.estimated(policies, embedding, NUM_ACTIONS, fold)([0])
  changed = embedding.copy()
  changed[3::9] = (changed[3::9] + 1) % 3
  after = embeddings.estimated(policies, changed, NUM_ACTIONS, fold)([0])
  same = (fold == 0) & (changed == embedding).all(1)
  np.testing.assert_array_equal(after[same], before[same])
  assert np.abs(after - before)[fold > 0].max() > 1e-3


def test_an_embedding_that_names_the_action_gives_ipw():
  policies, _, _ = planted(8_000, 1)
  weights = embeddings.estimated(
    policies, policies.action[:, None], NUM_ACTIONS, np.arange(8_000) % 3
  )
  row = np.arange(8_000)
  ipw = (policies.target / policies.behaviour)[row, policies.action, 0]
  np.testing.assert_allclose(weights([0]), ipw, rtol=1e-3)


def test_likelihoods_of_few_rounds_lean_on_all_actions_together():
  rng = np.random.default_rng(0)
  action = rng.integers(50, size=150)
  alike = embeddings.likelihood(action, rng.integers(4, size=150), 50, 3)
  # Nothing tells actions apart, so no action is believed by its three rounds.
  assert np.abs(alike - 0.25).max() < 0.15
  apart = embeddings.likelihood(action, action % 4, 50, 3)
  seen = np.unique(action)
  assert apart[seen, seen % 4].min() > 0.95
  np.testing.assert_allclose(apart.sum(1), 1, rtol=1e-12)


def test_dimensions_that_only_cost_variance_are_dropped_and_those_that_matter_are_kept():
  rng = np.random.default_rng(0)
  num_actions, num_rounds = 40, 4_000
  # The first dimension decides on the reward, the second only tells actions apart.
  categories = np.stack([np.arange(40) % 2, np.arange(40)], axis=1)
  target = np.tile(rng.dirichlet(np.full(num_actions, 0.2)), (num_rounds, 1))
  behaviour = np.full_like(target, 1 / num_actions)
  action = rng.integers(num_actions, size=num_rounds)
  reward = 3.0 * categories[action, 0] + rng.normal(size=num_rounds)
  policies = TwoPolicies(target[..., None], behaviour[..., None], action, np.zeros(num_rounds, int))
  weights = embeddings.known(policies, categories)
  kept, weight = embeddings.select(weights, 2, reward)
  assert kept == [0]
  truth = 3 * target[0] @ categories[:, 0]
  assert abs((weight * reward).mean() - truth) < 4 * (weight * reward).std() / num_rounds**0.5
  assert embeddings.select(weights, 1, reward)[0] == [0]


def test_a_uniform_log_needs_no_table_and_an_action_may_be_new(monkeypatch):
  monkeypatch.setattr(two_policies, 'CHUNK_CELLS', 7 * NUM_ACTIONS)
  policies, embedding, _ = planted(90, 3)
  fold = np.arange(90) % 3
  tables = [policies._replace(behaviour=each) for each in (None, np.full((90, 6, 1), 1 / 6))]
  # An action that was never logged, as in a short log, and a category of one fold alone.
  embedding[0] = 9
  found = [
    embeddings.estimated(each._replace(action=each.action % 5), embedding, 6, fold)([0, 1])
    for each in tables
  ]
  np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
  assert np.isfinite(found[0]).all()
