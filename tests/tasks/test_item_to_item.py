import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import linear_path
from rec_jax.models.baselines import ease
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.linear_path import Spectrum
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import full_ranking, item_to_item, two_tower_model
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.two_tower_model import TwoTowerModel

NUM_ITEMS, NUM_NEW, RANK = 40, 4, 40


def _model():
  """A model whose logits say nothing, with a text for each item and no id for the last ones."""
  config = TwoTowerConfig(num_items=NUM_ITEMS, text_dim=6, dim=8, num_heads=2, history_length=6)
  towers = TwoTower(config, rngs=nnx.Rngs(0))
  text = np.random.default_rng(0).normal(size=(NUM_ITEMS, 6)).astype(np.float32)
  towers.items.fill(
    jnp.asarray(text), jnp.arange(NUM_ITEMS) < NUM_ITEMS - NUM_NEW, jnp.zeros(NUM_ITEMS)
  )
  return nnx.view(TwoTowerModel(towers, None), deterministic=True)


class Pairs(NamedTuple):
  """Events of users [E] on items [E], their spectrum, and queries."""

  user: np.ndarray
  item: np.ndarray
  spectrum: Spectrum
  asked: Queries


def _hard(asked):
  """The queries, a third of them with the answer to another."""
  target = np.where(np.arange(len(asked)) % 3 == 0, np.roll(asked.target, 1), asked.target)
  return dataclasses.replace(asked, target=target)


@pytest.fixture(scope='module')
def pairs():
  """Users who choose item 2k + 1 after item 2k, and queries for the second of a pair."""
  rng = np.random.default_rng(1)
  chains = rng.integers(0, (NUM_ITEMS - NUM_NEW) // 2, (80, 3))
  user, pair = np.repeat(np.arange(80), 3), chains.reshape(-1)
  events = np.unique(np.stack([np.repeat(user, 2), np.repeat(2 * pair, 2)], 1), axis=0)
  both = np.concatenate([events, events + np.array([0, 1])])
  first = 2 * rng.integers(0, (NUM_ITEMS - NUM_NEW) // 2, 50)
  history = np.zeros((50, 6), np.int32)
  history[:, 0] = first + 1
  ones, seen = np.ones_like(history), first.astype(np.int32)
  asked = Queries(history, ones, 0 * ones, first + 1, np.arange(50), np.arange(51), seen)
  spectrum = linear_path.spectrum(both[:, 0], both[:, 1], NUM_ITEMS, RANK, seed=0)
  return Pairs(both[:, 0], both[:, 1], spectrum, asked)


def _ndcg(model, asked):
  ranked = full_ranking.rank_targets(
    lambda part: two_tower_model.compiled_score(model, part.history, part.rewards),
    asked,
    np.ones(NUM_ITEMS, bool),
  )
  return ranked['ndcg@10'].mean()


def test_the_path_says_what_follows_and_is_taken(pairs):
  spectrum, asked = pairs.spectrum, pairs.asked
  model = _model()
  before = _ndcg(model, asked)
  chosen = item_to_item.add(model, spectrum, RANK, asked)
  assert before < 0.4
  assert chosen.settings['gain'] > 0
  assert chosen.ndcg.mean() == pytest.approx(_ndcg(model, asked), abs=1e-6)
  # Nothing else says anything here.
  assert chosen.alone.mean() == pytest.approx(chosen.ndcg.mean(), abs=0.02)
  assert _ndcg(model, asked) > 0.95


def test_after_no_event_the_path_alone_finds_what_chance_does(pairs):
  none = dataclasses.replace(pairs.asked, history=0 * pairs.asked.history)
  chosen = item_to_item.add(_model(), pairs.spectrum, RANK, none)
  # All items that are open are equal, and the target is at each place of them as often.
  number = NUM_ITEMS - NUM_NEW - 1
  expected = (1 / np.log2(2 + np.arange(10))).sum() / number
  np.testing.assert_allclose(chosen.alone, expected, rtol=1e-6)


def test_a_path_that_leads_astray_is_left_out(pairs, monkeypatch):
  spectrum, asked = pairs.spectrum, pairs.asked
  model = _model()
  history, rewards = asked.history, asked.rewards
  plain = np.asarray(two_tower_model.compiled_score(model, history, rewards))
  # The answers are what the model ranks first, and the path knows nothing of them.
  seen = ~asked.unseen(NUM_ITEMS)
  known = np.arange(NUM_ITEMS) < NUM_ITEMS - NUM_NEW
  first = np.argmax(np.where(known & ~seen, plain, -np.inf), axis=1)
  easy = dataclasses.replace(asked, target=first)
  assert item_to_item.add(model, spectrum, RANK, easy).settings['gain'] == 0
  logits = np.asarray(two_tower_model.compiled_score(model, history, rewards))
  np.testing.assert_allclose(logits[:, known], plain[:, known], rtol=1e-5, atol=1e-6)


def test_a_path_that_does_not_help_other_queries_is_left_out(pairs, monkeypatch):
  given = []

  def refuses(value, errors):
    given.append((value, errors))
    return False

  monkeypatch.setattr(item_to_item.choice, 'helps', refuses)
  chosen = item_to_item.add(_model(), pairs.spectrum, RANK, pairs.asked)
  [(value, errors)] = given
  assert chosen.settings['gain'] == 0 and errors == 1
  # The first setting is without the path, and others of those that are judged are far better.
  np.testing.assert_array_equal(value[0], chosen.ndcg)
  assert value.mean(1).max() > value[0].mean() + 0.5


def test_no_setting_of_ease_beside_the_model_is_better(pairs):
  user, item, asked = pairs.user, pairs.item, _hard(pairs.asked)
  model = _model()
  learnt = np.asarray(two_tower_model.compiled_score(model, asked.history, asked.rewards))
  known = np.arange(NUM_ITEMS) < NUM_ITEMS - NUM_NEW
  values = {}
  for lambda_ in item_to_item.LAMBDAS:
    weights = ease.fit(user, item, NUM_ITEMS, lambda_=lambda_)
    for decay in item_to_item.DECAYS:
      linear = np.asarray(ease.scores(weights, asked.history, decay=decay))
      for gain in item_to_item.GAINS:
        logits = np.where(asked.unseen(NUM_ITEMS) & known, learnt + gain * linear, -np.inf)
        rank = (logits > logits[np.arange(len(asked)), asked.target][:, None]).sum(1)
        values[lambda_, decay, gain] = np.where(rank < 10, 1 / np.log2(2 + rank), 0).mean()
  chosen = item_to_item.add(model, pairs.spectrum, RANK, asked)
  assert values[tuple(chosen.settings.values())] == pytest.approx(max(values.values()), abs=1e-3)
  assert chosen.ndcg.mean() == pytest.approx(max(values.values()), abs=1e-3)
  assert max(values.values()) > np.median(list(values.values())) + 0.05


def test_of_too_many_queries_some_of_all_users_choose(pairs, monkeypatch):
  monkeypatch.setattr(full_ranking, '_MOST_SCORES', 10 * NUM_ITEMS)
  chosen = item_to_item.add(_model(), pairs.spectrum, RANK, pairs.asked)
  assert chosen.asked.user.tolist() == list(range(0, 50, 5))
  assert len(chosen.ndcg) == len(chosen.alone) == 10


def test_what_a_single_query_gains_settles_nothing(pairs):
  asked = pairs.asked.take(np.arange(1))
  chosen = item_to_item.add(_model(), pairs.spectrum, RANK, asked)
  assert chosen.alone > chosen.ndcg
  assert chosen.settings['gain'] == 0


def test_users_vary_by_one_in_each_direction_of_the_path(pairs):
  spectrum, asked = pairs.spectrum, pairs.asked
  model = _model()
  item_to_item.add(model, spectrum, RANK, asked)
  users = np.asarray(model.towers.items.linear.users(jnp.asarray(asked.history)))
  spread = users.std(0)
  varies = spread > 0.1
  assert varies.sum() >= 10
  np.testing.assert_allclose(spread[varies], 1, rtol=1e-3)


def test_items_without_an_id_are_placed_on_the_path_by_their_text(pairs):
  spectrum, asked = pairs.spectrum, pairs.asked
  model = _model()
  item_to_item.add(model, spectrum, RANK, asked)
  items = model.towers.items
  vectors = np.asarray(items.vectors())
  assert vectors.shape == (NUM_ITEMS, 8 + RANK)
  by_text = np.asarray(items.from_text(items.text[...]))
  np.testing.assert_allclose(vectors[-NUM_NEW:], by_text[-NUM_NEW:], rtol=1e-5)
  assert np.abs(by_text[-NUM_NEW:, 8:]).max() > 0
  np.testing.assert_allclose(vectors[:-NUM_NEW, 8:], items.linear.sought[...][:-NUM_NEW])


def test_a_model_without_ids_has_no_path():
  class Settings:
    linear_rank = 512

  assert item_to_item.rank('text_only', Settings(), 100) == 0
  assert item_to_item.rank('id_only', Settings(), 100) == 100
