"""Worlds on a hand-made stream, counted by hand."""

import jax
import numpy as np
import pytest

from rec_jax.runs.config import Config, ExploreConfig
from rec_jax.stages.explore import chain, payoff, worlds
from rec_jax.types import Interactions
from tests.environments.test_visits import dense
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
  return worlds.build(
    name, stream(ratings), len(BEFORE), N, features, 4.0, max_visitors, SETTINGS, seed
  )


@pytest.mark.parametrize(
  ('name', 'ratings', 'a0', 'b0'),
  [
    # Beta(1 + positives, 9 + users - positives), three users before the cut; Beta(1, 9) for items
    # that nobody could pass over.
    (worlds.CATALOGUE, True, [3, 1, 1, 1, 1, 1], [10, 12, 12, 9, 9, 9]),
    (worlds.CATALOGUE, False, [4, 2, 2, 1, 1, 1], [9, 11, 11, 9, 9, 9]),
    # Beta(1 + positives, 1 + negatives).
    (worlds.RATED, True, [3, 1, 1, 1, 1, 1], [2, 2, 2, 1, 1, 1]),
    (worlds.RATED, False, [4, 2, 2, 1, 1, 1], [9, 11, 11, 9, 9, 9]),
  ],
)
def test_the_prior_counts_what_was_before_the_cut(name, ratings, a0, b0):
  world = build(name, ratings)
  np.testing.assert_array_equal(world.a0, a0)
  np.testing.assert_array_equal(world.b0, b0)
  assert world.baseline == (
    'mean-rating greedy' if name == worlds.RATED and ratings else 'popularity greedy'
  )


def test_the_whole_catalogue():
  world = build(worlds.CATALOGUE)
  # Users 0 and 3 have two events or more after the cut, in this order.
  assert world.data.users.tolist() == [0, 3]
  assert world.data.visits.tolist() == [1, 0, 1, 0]
  assert world.num_rounds == 4
  assert world.is_new.tolist() == [False, True]
  assert world.is_cold.tolist() == [False, False, False, True, True, True]
  mask = dense(world.data.mask)
  assert mask[0].tolist() == [False, False, True, True, True, True]
  assert mask[1].all()
  assert dense(world.data.rewards).tolist() == [[0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0]]


def test_rated_candidates():
  world = build(worlds.RATED)
  assert world.data.users.tolist() == [0, 3]
  assert world.data.visits.tolist() == [1, 0]
  candidates = [
    set(np.asarray(row)[np.asarray(mask)].tolist())
    for row, mask in zip(world.data.items, world.data.mask, strict=True)
  ]
  assert candidates == [{2, 3}, {0, 1, 4}]


def test_implicit_candidates_are_mixed_with_items_never_touched():
  world = build(worlds.RATED, ratings=False)
  for user, row, mask, rewards in zip(
    (0, 3), world.data.items, world.data.mask, world.data.rewards, strict=True
  ):
    items, worth = np.asarray(row)[np.asarray(mask)], np.asarray(rewards)[np.asarray(mask)]
    chosen = {item for u, item, _ in AFTER if u == user}
    touched = {item for u, item, _ in BEFORE + AFTER if u == user}
    assert set(items[worth == 1].tolist()) == chosen
    assert touched.isdisjoint(items[worth == 0].tolist())
    assert (worth == 0).sum() == min(len(chosen), N - len(touched))
  assert 'sampled items that the user never touched' in world.protocol


def test_of_too_many_visitors_a_sample_comes():
  sampled = [build(worlds.CATALOGUE, max_visitors=1, seed=seed) for seed in range(8)]
  assert all(len(world.is_new) == 1 for world in sampled)
  assert {int(world.data.users[0]) for world in sampled} == {0, 3}
  assert 'a random sample' in sampled[0].protocol
  assert 'a random sample' not in build(worlds.CATALOGUE).protocol
  # The prior does not depend on who comes.
  np.testing.assert_array_equal(sampled[0].a0, build(worlds.CATALOGUE).a0)


def chain_of_vectors():
  dataset = small.dataset()
  vectors = np.random.default_rng(0).normal(size=(dataset.items.num_items, 4))
  return chain.Chain(Config(explore=SETTINGS), dataset, None, vectors, vectors, vectors)


def test_the_world_without_a_past_is_played_by_the_programs_of_the_catalogue():
  models = chain_of_vectors()
  usual, cold = models.world(worlds.CATALOGUE), models.cold_world()
  assert cold.environment is usual.environment

  def types(world):
    return jax.tree.map(jax.typeof, (world.data, world.a0, world.b0, world.num_events))

  assert types(cold) == types(usual)


def test_the_protocols_of_a_chain_say_that_its_models_are_of_the_first_seed():
  models = chain_of_vectors()
  for world in (models.world(worlds.CATALOGUE), models.tuning_world(worlds.RATED)):
    assert world.protocol.endswith('; models of the first training seed alone')
  assert worlds.FIRST_SEED in payoff._PROTOCOL


def vectors(rewards=None):
  rng = np.random.default_rng(0)
  made = {'items': rng.normal(size=(8, 3)), 'users': rng.normal(size=(200, 3))}
  return made if rewards is None else made | {'rewards': rewards}


def test_given_rewards_are_taken_and_unknown_ones_are_no_candidates():
  rewards = np.random.default_rng(1).integers(0, 2, (200, 8)).astype(float)
  rewards[0, 3:] = np.nan
  rewards[1, 1:] = np.nan
  world = worlds.from_vectors(vectors(rewards), 3, 0)
  np.testing.assert_array_equal(world.data.mask, ~np.isnan(rewards))
  np.testing.assert_array_equal(world.data.rewards, np.nan_to_num(rewards))
  # Three visits each, but no more than half of what is known, and at least one.
  assert np.bincount(world.data.visits).tolist() == [1, 1, *[3] * 198]
  users = vectors()['users']
  scaled = users / np.sqrt((users**2).sum(1).mean())
  np.testing.assert_allclose(world.data.queries, scaled, rtol=1e-6)


def test_rewards_are_drawn_from_the_inner_products():
  made = vectors()
  world = worlds.from_vectors(made, 3, 0)
  assert np.bincount(world.data.visits).tolist() == [3] * 200
  assert not world.is_new.any() and not world.is_cold.any()
  assert np.isin(world.data.rewards, (0, 1)).all()
  logits = made['users'] @ made['items'].T
  expected = 1 / (1 + np.exp(2 - (logits - logits.mean()) / logits.std()))
  drawn = np.asarray(world.data.rewards)
  error = np.sqrt((expected * (1 - expected)).sum())
  # Accepts these probabilities and rejects those of the opposite taste, five errors either way.
  assert abs((drawn - expected).sum()) < 5 * error
  weight = expected - expected.mean()
  slope = (weight * drawn).sum() / (weight**2).sum()
  spread = np.sqrt((weight**2 * expected * (1 - expected)).sum()) / (weight**2).sum()
  assert abs(slope - 1) < 5 * spread < 0.8
  again = worlds.from_vectors(made, 3, 0)
  np.testing.assert_array_equal(again.data.rewards, drawn)
  assert not np.array_equal(worlds.from_vectors(made, 3, 1).data.rewards, drawn)


def test_neither_the_scale_of_vectors_nor_what_all_items_share_matters():
  made = vectors()
  config = Config(explore=ExploreConfig(num_features=2))

  def features(scale, shift):
    scaled = {'items': scale * made['items'] + shift, 'users': made['users'] / scale}
    encoded = worlds.from_vectors(scaled, 3, 0)
    world = chain.with_features(encoded, np.asarray(encoded.data.features), config)
    assert world.data.queries is None  # They do not fit these features.
    assert world.data.features.shape == (8, 2)  # Of three directions, as the config wants.
    return np.asarray(world.data.features), np.asarray(encoded.data.rewards)

  (plain, rewards), (large, same) = features(1.0, 0.0), features(1e3, 0.0)
  np.testing.assert_allclose((plain**2).sum(1).mean(), 1, rtol=1e-5)
  np.testing.assert_array_equal(rewards, same)
  for others in (large, features(1.0, 5.0)[0]):
    np.testing.assert_allclose(others @ others.T, plain @ plain.T, atol=1e-4)
