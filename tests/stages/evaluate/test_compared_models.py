"""Baselines are tuned on validation events, and on nothing later."""

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import host
from rec_jax.models import encoding
from rec_jax.models.baselines import ease
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import compared_models
from rec_jax.tasks import full_ranking, text_encoders, zero_shot
from tests.stages.evaluate.test_ranking_comparison import NUM_ITEMS, dataset


@pytest.fixture
def vectors(monkeypatch):
  """Text vectors that share a large common part."""
  made = np.random.default_rng(4).normal(size=(NUM_ITEMS, 8)) + 5
  monkeypatch.setattr(text_encoders, 'published', lambda data: None)
  monkeypatch.setattr(encoding, 'text_vectors', lambda *_: made.astype(np.float32))
  monkeypatch.setattr(compared_models, 'LAMBDAS', (1.0, 30.0))
  monkeypatch.setattr(compared_models, 'DECAYS', (0.5, 1.0))
  return made


def test_ease_is_the_best_of_the_grid_on_the_validation_events(vectors):
  data, config = dataset(), Config()
  train = data.split.train_mask
  asked = full_ranking.queries(data, data.split.validation_event, 50, 4.0)
  values = {}
  for lambda_ in compared_models.LAMBDAS:
    weights = ease.fit(
      data.interactions.user[train], data.interactions.item[train], NUM_ITEMS, lambda_=lambda_
    )
    for decay in compared_models.DECAYS:
      scores = np.array(ease.scores(weights, asked.history, decay=decay))
      scores[~asked.unseen(NUM_ITEMS)] = -np.inf
      rank = (scores >= scores[np.arange(len(asked)), asked.target][:, None]).sum(1)
      values[lambda_, decay] = np.mean((rank <= 10) / np.log2(1 + rank))
  best = max(values, key=values.get)
  assert len({round(value, 6) for value in values.values()}) > 1
  chosen = compared_models.baselines(config, data)[compared_models.EASE].tuned
  assert (chosen['lambda'], chosen['decay']) == best


def test_ease_is_left_out_where_its_matrices_are_larger_than_memory(vectors, monkeypatch, caplog):
  monkeypatch.setattr(host, 'memory', lambda: 40 * NUM_ITEMS**2)
  found = compared_models.baselines(Config(), dataset())
  assert list(found) == ['popularity', 'recent popularity', 'text zero-shot']
  assert f'ease of {NUM_ITEMS} items takes {24 * NUM_ITEMS**2:,} bytes' in caplog.text


def test_what_comes_later_changes_no_baseline(vectors):
  data, config = dataset(), Config()
  asked = full_ranking.queries(data, data.split.validation_event, 50, 4.0)
  before = compared_models.baselines(config, data)
  item = data.interactions.item
  held_out = np.arange(len(item)) >= data.split.num_before
  held_out[data.split.test_event] = True
  item[held_out] = 0
  after = compared_models.baselines(config, data)
  for name, model in before.items():
    assert dict(model.tuned) == dict(after[name].tuned)
    np.testing.assert_array_equal(model.scores[0](asked), after[name].scores[0](asked))


def test_zero_shot_scores_are_those_of_the_published_vectors_with_the_best_decay(vectors):
  data = dataset()
  # Held out, though it was met before the cut: its text is not read.
  data.split.trained_items[np.flatnonzero(data.split.trained_items)[0]] = False
  asked = full_ranking.queries(data, data.split.test_event, 50, 4.0)
  model = compared_models.baselines(Config(), data)[compared_models.ZERO_SHOT]
  directions = zero_shot.directions(np.float32(vectors), data.split.trained_items)
  expected = zero_shot.scores(directions, asked.history, decay=model.tuned['decay'])
  np.testing.assert_allclose(model.scores[0](asked), expected, atol=1e-4)


def test_popularity_counts_training_events(vectors):
  data = dataset()
  asked = full_ranking.queries(data, data.split.test_event, 50, 4.0)
  counts = np.bincount(data.interactions.item[data.split.train_mask], minlength=NUM_ITEMS)
  scores = jnp.asarray(compared_models.baselines(Config(), data)['popularity'].scores[0](asked))
  order = np.argsort(-counts, kind='stable')
  np.testing.assert_array_equal(counts[np.argsort(-scores[0], kind='stable')], counts[order])
