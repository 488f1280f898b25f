"""Semantic ids of a planted world: the model finds what is planted, by ids that say what items are.

With the ids of other items the same probabilities rank nothing.
"""

import dataclasses
import types

import jax
import numpy as np
import pytest
from flax import nnx

from rec_jax.evaluation import intervals
from rec_jax.models.generative import semantic_ids as ids_of_items
from rec_jax.tasks import semantic_ids
from rec_jax.tasks.config import GenerativeConfig
from rec_jax.training import loop
from tests.planted import checks, training, world

# A minute of training.
pytestmark = pytest.mark.soak

STEPS = dataclasses.replace(training.FINETUNE, num_steps=300, validate_every=150)
OWN = GenerativeConfig()


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """The data set, its semantic ids, the trained model and the two kinds of queries."""
  directory = tmp_path_factory.mktemp('planted')
  truth = world.make(0)
  data = world.dataset(truth, directory)
  ids = semantic_ids.make_ids(data, words_of(truth.text), 0)
  task = semantic_ids.task(ids, data, STEPS, OWN, training.POSITIVE_RATING, 0)
  state, parts = loop.train(task, directory / 'model', jax.random.key(0), {})
  return types.SimpleNamespace(
    data=data,
    ids=ids,
    model=nnx.view(parts.merge(*state.best), deterministic=True),
    asked=training.queries(data, data.split.test_event),
    unseen=training.queries(data, np.flatnonzero(data.split.cold_items[data.interactions.item])),
  )


def words_of(text):
  """[N, W], which words a text has: random weights of an encoder blur their topics."""
  of_items = [set(each.split()) for each in text]
  words = sorted(set.union(*of_items))
  return np.array([[word in each for word in words] for each in of_items], np.float32)


def shuffled(planted):
  """The ids, given to other items among the known and among the new ones."""
  rng, tokens = np.random.default_rng(0), planted.ids.tokens.copy()
  for group in (planted.data.split.trained_items, ~planted.data.split.trained_items):
    rows = np.flatnonzero(group)
    tokens[rows] = tokens[rng.permutation(rows)]
  return ids_of_items.SemanticIds(tokens, planted.ids.sizes)


def by_model(planted, ids):
  catalogue = semantic_ids.catalogue(planted.data, ids, OWN)
  return semantic_ids.score(planted.model, catalogue)


def beats_popularity(planted, ids):
  found, popular = (
    checks.next_item(score, planted.asked, planted.data)['ndcg@10']
    for score in (by_model(planted, ids), training.by_popularity(planted.data))
  )
  difference = intervals.paired_difference(jax.random.key(0), found, popular)
  assert difference.low > 0, difference


def places_unseen_items(planted, ids):
  """New items that a user will choose stand higher among new ones than by chance."""
  lift, _ = checks.unseen_recall(by_model(planted, ids), planted.unseen, planted.data)
  assert lift.low > 0, lift


@pytest.mark.parametrize('check', [beats_popularity, places_unseen_items])
def test_ids_that_say_what_items_are_find_them_and_others_do_not(planted, check):
  check(planted, planted.ids)
  with pytest.raises(AssertionError):
    check(planted, shuffled(planted))


def test_the_best_ten_are_found_without_a_look_at_all_items(planted):
  catalogue = semantic_ids.catalogue(planted.data, planted.ids, OWN)
  exact = checks.next_item(by_model(planted, planted.ids), planted.asked, planted.data)['top']
  score = semantic_ids.beam_score(planted.model, catalogue, len(planted.ids.tokens), 10, 20)
  beam = checks.next_item(score, planted.asked, planted.data)['top']
  same = [len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), beam.tolist(), strict=True)]
  assert np.mean(same) > 0.8
