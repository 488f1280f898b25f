"""Problems on a hand-made stream, counted by hand."""

import numpy as np
import pytest

from rec_jax.runs.config import Config, ExploreConfig
from rec_jax.stages.explore import chain, payoff, problems
from rec_jax.types import Interactions
from tests.helpers import small

# (user, item, rating); the cut is after five events. Item 4 and user 3 are new, and nobody has an
# event on item 5.
BEFORE = [(0, 0, 5), (0, 1, 2), (1, 0, 4), (1, 2, 1), (2, 0, 3)]
AFTER = [(3, 4, 5), (0, 2, 4), (3, 0, 1), (0, 3, 2), (1, 4, 4), (3, 1, 5)]
N = 6
SETTINGS = ExploreConfig(min_events_catalogue=2, min_events_rated=2, history_length=3)


def stream(ratings=True):
  user, item, rating = np.array(BEFORE + AFTER).T
  return Interactions(
    user=user.astype(np.int32),
    item=item.astype(np.int32),
    timestamp=np.arange(len(user)),
    rating=rating.astype(np.float32) if ratings else None,
    user_ids=np.arange(4).astype(str),
  )


def build(name, ratings=True, max_visitors=10, seed=0):
  features = np.arange(2.0 * N).reshape(N, 2)
  return problems.build(
    name, stream(ratings), len(BEFORE), N, features, 4.0, max_visitors, SETTINGS, seed
  )


@pytest.mark.parametrize(
  ('name', 'ratings', 'a0', 'b0'),
  [
    # Beta(1 + positives, 9 + users - positives), three users before the cut; Beta(1, 9) for items
    # that nobody could pass over.
    (problems.CATALOGUE, True, [3, 1, 1, 1, 1, 1], [10, 12, 12, 9, 9, 9]),
    (problems.CATALOGUE, False, [4, 2, 2, 1, 1, 1], [9, 11, 11, 9, 9, 9]),
    # Beta(1 + positives, 1 + negatives).
    (problems.RATED, True, [3, 1, 1, 1, 1, 1], [2, 2, 2, 1, 1, 1]),
    (problems.RATED, False, [4, 2, 2, 1, 1, 1], [9, 11, 11, 9, 9, 9]),
  ],
)
def test_the_prior_counts_what_was_before_the_cut(name, ratings, a0, b0):
  problem = build(name, ratings)
  np.testing.assert_array_equal(problem.a0, a0)
  np.testing.assert_array_equal(problem.b0, b0)
  assert problem.baseline == (
    'mean-rating greedy' if name == problems.RATED and ratings else 'popularity greedy'
  )


def test_the_whole_catalogue():
  problem = build(problems.CATALOGUE)
  # Users 0 and 3 have two events or more after the cut, in this order.
  assert problem.data.users.tolist() == [0, 3]
  assert problem.data.visits.tolist() == [1, 0, 1, 0]
  assert problem.num_rounds == 4
  assert problem.is_new.tolist() == [False, True]
  assert problem.is_cold.tolist() == [False, False, False, True, True, True]
  assert problem.data.mask[0].tolist() == [False, False, True, True, True, True]
  assert problem.data.mask[1].all()
  assert problem.data.rewards.tolist() == [[0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0]]


def test_rated_candidates():
  problem = build(problems.RATED)
  assert problem.data.users.tolist() == [0, 3]
  assert problem.data.visits.tolist() == [1, 0]
  candidates = [
    set(np.asarray(row)[np.asarray(mask)].tolist())
    for row, mask in zip(problem.data.items, problem.data.mask, strict=True)
  ]
  assert candidates == [{2, 3}, {0, 1, 4}]


def test_implicit_candidates_are_mixed_with_items_never_touched():
  problem = build(problems.RATED, ratings=False)
  for user, row, mask, rewards in zip(
    (0, 3), problem.data.items, problem.data.mask, problem.data.rewards, strict=True
  ):
    items, worth = np.asarray(row)[np.asarray(mask)], np.asarray(rewards)[np.asarray(mask)]
    chosen = {item for u, item, _ in AFTER if u == user}
    touched = {item for u, item, _ in BEFORE + AFTER if u == user}
    assert set(items[worth == 1].tolist()) == chosen
    assert touched.isdisjoint(items[worth == 0].tolist())
    assert (worth == 0).sum() == min(len(chosen), N - len(touched))
  assert 'sampled items that the user never touched' in problem.protocol


def test_of_too_many_visitors_a_sample_comes():
  sampled = [build(problems.CATALOGUE, max_visitors=1, seed=seed) for seed in range(8)]
  assert all(len(problem.is_new) == 1 for problem in sampled)
  assert {int(problem.data.users[0]) for problem in sampled} == {0, 3}
  assert 'a random sample' in sampled[0].protocol
  assert 'a random sample' not in build(problems.CATALOGUE).protocol
  # The prior does not depend on who comes.
  np.testing.assert_array_equal(sampled[0].a0, build(problems.CATALOGUE).a0)


def test_the_protocols_of_a_chain_say_that_its_models_are_of_the_first_seed():
  dataset = small.dataset()
  vectors = np.random.default_rng(0).normal(size=(dataset.items.num_items, 4))
  config = Config(explore=SETTINGS)
  models = chain.Chain(config, dataset, None, vectors, vectors, vectors)
  for problem in (models.problem(problems.CATALOGUE), models.tuning_problem(problems.RATED)):
    assert problem.protocol.endswith('; models of the first training seed alone')
  assert problems.FIRST_SEED in payoff._PROTOCOL


def vectors(rewards=None):
  rng = np.random.default_rng(0)
  made = {'items': rng.normal(size=(8, 3)), 'users': rng.normal(size=(200, 3))}
  return made if rewards is None else made | {'rewards': rewards}


def test_given_rewards_are_taken_and_unknown_ones_are_no_candidates():
  rewards = np.random.default_rng(1).integers(0, 2, (200, 8)).astype(float)
  rewards[0, 3:] = np.nan
  rewards[1, 1:] = np.nan
  problem = problems.from_vectors(vectors(rewards), 3, 0)
  np.testing.assert_array_equal(problem.data.mask, ~np.isnan(rewards))
  np.testing.assert_array_equal(problem.data.rewards, np.nan_to_num(rewards))
  # Three visits each, but no more than half of what is known, and at least one.
  assert np.bincount(problem.data.visits).tolist() == [1, 1, *[3] * 198]
  users = vectors()['users']
  scaled = users / np.sqrt((users**2).sum(1).mean())
  np.testing.assert_allclose(problem.data.queries, scaled, rtol=1e-6)


def test_rewards_are_drawn_from_the_inner_products():
  made = vectors()
  problem = problems.from_vectors(made, 3, 0)
  assert np.bincount(problem.data.visits).tolist() == [3] * 200
  assert not problem.is_new.any() and not problem.is_cold.any()
  assert np.isin(problem.data.rewards, (0, 1)).all()
  logits = made['users'] @ made['items'].T
  expected = 1 / (1 + np.exp(2 - (logits - logits.mean()) / logits.std()))
  drawn = np.asarray(problem.data.rewards)
  error = np.sqrt((expected * (1 - expected)).sum())
  # Accepts these probabilities and rejects those of the opposite taste, five errors either way.
  assert abs((drawn - expected).sum()) < 5 * error
  weight = expected - expected.mean()
  slope = (weight * drawn).sum() / (weight**2).sum()
  spread = np.sqrt((weight**2 * expected * (1 - expected)).sum()) / (weight**2).sum()
  assert abs(slope - 1) < 5 * spread < 0.8
  again = problems.from_vectors(made, 3, 0)
  np.testing.assert_array_equal(again.data.rewards, drawn)
  assert not np.array_equal(problems.from_vectors(made, 3, 1).data.rewards, drawn)


def test_neither_the_scale_of_vectors_nor_what_all_items_share_matters():
  made = vectors()
  config = Config(explore=ExploreConfig(num_features=2))

  def features(scale, shift):
    scaled = {'items': scale * made['items'] + shift, 'users': made['users'] / scale}
    encoded = problems.from_vectors(scaled, 3, 0)
    problem = chain.with_features(encoded, np.asarray(encoded.data.features), config)
    assert problem.data.queries is None  # They do not fit these features.
    assert problem.data.features.shape == (8, 2)  # Of three directions, as the config wants.
    return np.asarray(problem.data.features), np.asarray(encoded.data.rewards)

  (plain, rewards), (large, same) = features(1.0, 0.0), features(1e3, 0.0)
  np.testing.assert_allclose((plain**2).sum(1).mean(), 1, rtol=1e-5)
  np.testing.assert_array_equal(rewards, same)
  for others in (large, features(1.0, 5.0)[0]):
    np.testing.assert_allclose(others @ others.T, plain @ plain.T, atol=1e-4)
