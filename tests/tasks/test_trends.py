"""A trend is taken where validation shows it, and the one that ranks best."""

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data import splits
from rec_jax.models import trend
from rec_jax.models.baselines import recent_popularity
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import full_ranking, trends, two_tower_model
from rec_jax.tasks.two_tower_model import TwoTowerModel
from rec_jax.types import Interactions
from tests.helpers import small

NUM_USERS, NUM_ITEMS, NUM_HOT = 120, 40, 4


@pytest.fixture(scope='module')
def data():
  """In the last third of the time every second event is on one of four items, rare before."""
  rng, number = np.random.default_rng(0), 3000
  is_hot = (np.arange(number) > 0.67 * number) & (rng.random(number) < 0.5)
  item = np.where(is_hot, rng.integers(0, NUM_HOT, number), rng.integers(0, NUM_ITEMS, number))
  user = rng.integers(0, NUM_USERS, number)
  kept = splits.first_of_pairs(user, item)
  interactions = Interactions(
    user=user[kept].astype(np.int32),
    item=item[kept].astype(np.int32),
    timestamp=3600 * kept,
    rating=None,
    user_ids=np.arange(NUM_USERS).astype(str),
  )
  split = splits.split(interactions, NUM_ITEMS, 0.9, 5, 'global_time')
  return dataclasses.replace(
    small.dataset(num_items=NUM_ITEMS), interactions=interactions, split=split
  )


def _model():
  """One whose taste is made up, and which has no text."""
  config = TwoTowerConfig(num_items=NUM_ITEMS, text_dim=0, dim=8, num_heads=2, history_length=10)
  model = TwoTowerModel(TwoTower(config, rngs=nnx.Rngs(0)), None)
  model.towers.items.has_id[...] = jnp.arange(NUM_ITEMS) < NUM_ITEMS - 2
  return nnx.view(model, deterministic=True)


def _asked(data):
  return full_ranking.queries(data, data.split.validation_event, 10, 4.0)


def _ndcg(score, asked, model):
  known = np.asarray(model.towers.items.has_id[...])
  return full_ranking.rank_targets(score, asked, known)['ndcg@10'].mean()


def test_the_trend_of_the_best_setting_is_taken(data):
  model, asked = _model(), _asked(data)
  asked = asked.take(np.flatnonzero(asked.target < NUM_ITEMS - 2))
  # As it is asked for, padded by the last query.
  learnt = np.asarray(
    two_tower_model.answers(model)(asked.take(np.minimum(np.arange(256), len(asked) - 1)))
  )
  mask = data.split.train_mask
  events = data.interactions.item[mask], data.interactions.timestamp[mask]
  table = {}
  for share, held in itertools.product(trends.HALF_LIVES, trends.HELD):
    half_life = share * np.ptp(events[1])
    added = trend.log_trend(*events, NUM_ITEMS, half_life, held)
    for weight in trends.WEIGHTS:
      scores = jnp.asarray(learnt + weight * added)
      table[half_life / 86_400, held, weight] = _ndcg(lambda _, scores=scores: scores, asked, model)
  chosen = trends.add(model, data, asked)
  best = max(table.values())
  assert best > table[next(iter(table))] + 0.1
  assert table[tuple(chosen.settings.values())] == pytest.approx(best, abs=1e-5)
  assert chosen.ndcg.mean() == pytest.approx(best, abs=1e-5)
  assert _ndcg(two_tower_model.answers(model), asked, model) == pytest.approx(best, abs=1e-5)
  assert (np.asarray(model.towers.items.trend[...]).argsort()[-NUM_HOT:] < NUM_HOT).all()


def test_what_is_popular_of_late_is_the_best_half_life_ties_included(data):
  asked, model = _asked(data), _model()
  known, mask = np.asarray(model.towers.items.has_id[...]), data.split.train_mask
  # What has no id does not compete, so that it is never found.
  assert not known[asked.target].all()
  counts = [recent for _, recent in trends.recent_counts(data)]
  counts.append(np.bincount(data.interactions.item[mask], minlength=NUM_ITEMS).astype(np.float32))
  values = [
    _ndcg(lambda part, each=each: recent_popularity.scores(each, part.history), asked, model)
    for each in counts
  ]
  found = trends.add(model, data, asked).popular
  assert found.mean() == pytest.approx(max(values), abs=1e-6)
  assert max(values) > values[-1] + 0.05


@pytest.mark.parametrize('seed', range(3))
def test_without_one_there_is_none(data, seed):
  """Users who choose any item, at all times."""
  events, rng = data.interactions, np.random.default_rng(seed)
  # Of each user the items that the user had, under other names, so that none comes twice.
  names = np.stack([rng.permutation(NUM_ITEMS) for _ in range(NUM_USERS)]).astype(np.int32)
  stationary = dataclasses.replace(events, item=names[events.user, events.item])
  data = dataclasses.replace(
    data,
    interactions=stationary,
    split=splits.split(stationary, NUM_ITEMS, 0.9, 5, 'global_time'),
  )
  model = _model()
  assert trends.add(model, data, _asked(data)).settings['weight'] == 0
  assert not np.asarray(model.towers.items.trend[...]).any()


def test_a_single_query_shows_no_trend(data):
  assert trends.add(_model(), data, _asked(data).take(np.arange(1))).settings['weight'] == 0
