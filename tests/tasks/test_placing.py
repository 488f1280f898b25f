"""The penalty that places unseen items, against a loop over folds, and what it is chosen by."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.two_tower import RIDGE, TwoTower, TwoTowerConfig
from rec_jax.tasks import item_folds, placing
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.next_item import TwoTowerModel
from tests.models import modules

N, H, D, Q = 60, 12, 4, 200


def planted(noise, seed=0):
  """(model, folds) whose item vectors are linear in the text, but for noise of the ids.

  Users hold nothing but one item, whose vector they have, and choose the item nearest to it.
  """
  rng = np.random.default_rng(seed)
  sizes = TwoTowerConfig(num_items=N, text_dim=H, dim=D, num_heads=1, history_length=2)
  towers = modules.random(lambda: TwoTower(sizes, rngs=nnx.Rngs(seed)))
  text = rng.normal(size=(N, H)).astype(np.float32)
  items = towers.items
  items.fill(jnp.asarray(text), jnp.ones(N, bool))
  kernel = rng.normal(size=(H, D))
  vectors = text @ kernel + noise * rng.normal(size=(N, D))
  items.id.embedding[...] = jnp.asarray(vectors, jnp.float32)
  items.project.kernel[...] = jnp.zeros((H, D))
  items.project.bias[...] = jnp.zeros(D)
  last = rng.integers(0, N, Q)
  closeness = vectors[last] @ vectors.T - 1e9 * np.eye(N)[last]
  asked = Queries(
    history=np.stack([last + 1, np.zeros(Q, int)], axis=1).astype(np.int32),
    rewards=np.ones((Q, 2), np.int32),
    target=np.argmax(closeness, axis=1).astype(np.int32),
    user=np.arange(Q),
    seen_offsets=np.arange(Q + 1),
    seen_items=last,
  )
  split = types.SimpleNamespace(trained_items=np.ones(N, bool))
  data = types.SimpleNamespace(split=split, items=types.SimpleNamespace(num_items=N))
  model = TwoTowerModel(towers, None)
  # The user tower stands for one that gives back the last item.
  model.towers.encode_users = lambda vectors, history, rewards: vectors[history[:, 0] - 1]
  return model, item_folds.make(data, asked, 0)


def placed_by_others(items, folds, ridge):
  fold = jnp.asarray(folds.fold)
  moments = items.moments_of_folds(fold, folds.num_folds)
  return np.asarray(items.placed_by_others(fold, moments, ridge))


def test_an_item_is_placed_by_a_regression_on_the_other_folds():
  model, folds = planted(noise=1.0)
  items = model.towers.items
  placed = placed_by_others(items, folds, 0.5)
  text = np.float64(items._scaled(items.text[...]))
  vectors = np.float64(items())
  for number in folds.numbers:
    fitted = folds.fold != number
    mean = text[fitted].mean(0)
    centred = text[fitted] - mean
    gram = centred.T @ centred
    penalty = 0.5 * np.trace(gram) / H * np.eye(H)
    kernel = np.linalg.solve(
      gram + penalty, centred.T @ (vectors[fitted] - vectors[fitted].mean(0))
    )
    expected = (text[~fitted] - mean) @ kernel + vectors[fitted].mean(0)
    np.testing.assert_allclose(placed[~fitted], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(('noise', 'is_weak'), [(0.0, True), (30.0, False)])
def test_the_penalty_is_weak_where_text_says_all_and_strong_where_it_says_nothing(noise, is_weak):
  model, folds = planted(noise)
  found = placing.choose_ridge(model, folds)
  chosen = float(model.towers.items.ridge[...])
  assert (chosen < RIDGE) == is_weak
  assert set(found) == set(placing.METRICS)
  if is_weak:
    assert found['recall@10'].mean() > 0.9
  kernel = model.towers.items.unseen_kernel[...]
  model.towers.items.place_unseen()
  np.testing.assert_array_equal(kernel, model.towers.items.unseen_kernel[...])


def by_loop(model, folds, bias, seed=0):
  """(NDCG@10 of known answers, recall@10 of new ones) [Q], one query after the other."""
  items = model.towers.items
  placed = placed_by_others(items, folds, RIDGE)
  vectors, asked = np.asarray(items()), folds.asked
  step = np.random.default_rng((seed, 4)).integers(1, folds.num_folds, Q)
  warm, new = [], []
  for row, target in enumerate(asked.target):
    user = vectors[asked.history[row, 0] - 1]
    open_ = asked.unseen(N)[row]
    for fold, found in (((folds.fold[target] + step[row]) % folds.num_folds, warm), (None, new)):
      is_new = folds.fold == (folds.fold[target] if fold is None else fold)
      scores = np.where(is_new, placed @ user + bias, vectors @ user)
      rank = np.sum(scores[open_] > scores[target])
      found.append((rank < 10) * (1 / np.log2(2 + rank) if fold is not None else 1.0))
  return np.array(warm), np.array(new)


def test_what_known_items_lose_and_new_ones_gain_is_that_of_a_loop():
  model, folds = planted(noise=3.0)
  model.towers.items.ridge[...] = jnp.float32(RIDGE)
  trade = placing.choose_new_bias(model, folds, 0.02, 0)
  for number in (0, 7, 16):
    warm, new = by_loop(model, folds, placing.BIASES[number])
    np.testing.assert_allclose(trade.warm[number], warm, atol=1e-6)
    np.testing.assert_allclose(trade.new[number], new, atol=1e-6)
  assert trade.new[16].mean() > trade.new[0].mean()


@pytest.mark.parametrize('allowed', [0.0, 0.02, 0.2, 1.0])
def test_the_bias_is_the_largest_that_costs_known_items_no_more_than_allowed(allowed):
  model, folds = planted(noise=3.0)
  trade = placing.choose_new_bias(model, folds, allowed, 0)
  gain = trade.warm.mean(1)
  chosen = placing.BIASES.index(float(model.towers.items.new_bias[...]))
  least = (1 - allowed) * gain[0]
  assert (gain[: chosen + 1] >= least).all()
  assert chosen == len(gain) - 1 or gain[chosen + 1] < least
  bias = np.asarray(model.towers.items.bias())
  np.testing.assert_array_equal(bias, 0)
  model.towers.items.has_id[...] = jnp.arange(N) > 3
  np.testing.assert_array_equal(model.towers.items.bias()[:4], placing.BIASES[chosen])
