"""What a step descends is the exact log-probability of the next item among the known ones."""

import dataclasses
import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data import splits
from rec_jax.models.generative import catalogue as catalogues
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.tasks import semantic_ids
from rec_jax.tasks.config import GenerativeConfig
from rec_jax.tasks.full_ranking import Queries
from tests.helpers import small

OWN = GenerativeConfig()


@pytest.fixture(scope='module')
def setting():
  """A data set of which three items are new, its ids, and a model before its first step."""
  dataset = small.dataset()
  trained = np.arange(dataset.items.num_items) < dataset.items.num_items - 3
  known_event = trained[dataset.interactions.item]
  mask = dataset.split.train_mask & known_event
  split = dataclasses.replace(dataset.split, train_mask=mask, trained_items=trained)
  dataset = dataclasses.replace(dataset, split=split)
  vectors = np.random.default_rng(0).normal(size=(len(trained), 6))
  ids = semantic_ids.make_ids(dataset, vectors, 0)
  config = dataclasses.replace(small.config(pathlib.Path()).finetune, history_length=4)
  task = semantic_ids.task(ids, dataset, config, OWN, 4.0, 0)
  model = nnx.view(task.model, deterministic=True)
  return types.SimpleNamespace(dataset=dataset, ids=ids, task=task, model=model, known=trained)


def asked(setting, history, rewards, seen=()):
  return Queries(
    history=np.asarray(history),
    rewards=np.asarray(rewards),
    times=np.zeros_like(history),
    target=np.zeros(len(history), np.int32),
    user=np.arange(len(history), dtype=np.int32),
    seen_offsets=np.arange(len(history) + 1) * len(seen),
    seen_items=np.tile(np.array(seen, np.int32), len(history)),
  )


def test_losses_are_those_of_the_next_items_of_every_prefix(setting):
  items = jnp.array([[3, 9, 1, 20, 5], [7, 2, 0, 0, 0]], jnp.int32)
  rewards = jnp.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], jnp.int32)
  batch = {'items': items, 'history': items, 'rewards': rewards, 'times': jnp.zeros_like(items)}
  # More are asked for than there are: padding comes last, without a weight.
  losses, weights, _ = jax.jit(
    lambda batch: setting.task.losses(
      setting.model, jax.random.key(0), batch, setting.task.data, None
    )
  )(batch)
  assert losses.shape == (10,) and weights.tolist() == [1.0] * 7 + [0.0] * 3
  assert np.isfinite(losses).all()
  prefixes, liked, target = [], [], []
  for row, length in ((0, 5), (1, 2)):
    for t in range(length):
      prefixes.append(np.where(np.arange(4) < t, items[row, :4], 0))
      liked.append(np.where(np.arange(4) < t, rewards[row, :4], 0))
      target.append(int(items[row, t]) - 1)
  catalogue = catalogues.make(setting.ids, setting.known, 0.0)
  scores = semantic_ids.score(setting.model, catalogue)(asked(setting, prefixes, liked))
  wanted = -np.asarray(scores)[np.arange(7), target]
  np.testing.assert_allclose(np.sort(losses[:7]), np.sort(wanted), rtol=1e-4)


def test_the_share_of_new_items_is_that_of_the_validation_events(setting):
  dataset = setting.dataset
  target = dataset.interactions.item[dataset.split.validation_event]
  number = sum(not setting.known[item] for item in target)
  wanted = (number + 0.5) / (len(target) + 1)
  for config, share in ((OWN, wanted), (GenerativeConfig(new_share=0.3), 0.3)):
    catalogue = semantic_ids.catalogue(dataset, setting.ids, config)
    np.testing.assert_allclose(catalogue.shares, [1 - share, share], rtol=1e-5)


@pytest.mark.soak
def test_a_beam_as_wide_as_the_catalogue_ranks_as_the_exact_scores(setting):
  catalogue = semantic_ids.catalogue(setting.dataset, setting.ids, GenerativeConfig(new_share=0.3))
  number = setting.dataset.items.num_items
  one = asked(setting, [[3, 9, 0, 0]], [[1, 0, 0, 0]], seen=(2, 8))
  exact = np.asarray(semantic_ids.score(setting.model, catalogue)(one))[0]
  by_beam = semantic_ids.beam_score(setting.model, catalogue, number, number, number)
  found = np.asarray(by_beam(one))[0]
  assert np.isneginf(found[[2, 8]]).all()
  others = np.delete(np.arange(number), [2, 8])
  np.testing.assert_allclose(found[others], exact[others], rtol=1e-4)


def test_codebooks_are_of_the_text_of_known_items(setting):
  vectors = np.random.default_rng(0).normal(size=(len(setting.known), 6))
  changed = np.where(setting.known[:, None], vectors, 100 * vectors)
  again = semantic_ids.make_ids(setting.dataset, changed, 0)
  np.testing.assert_array_equal(again.tokens[setting.known], setting.ids.tokens[setting.known])


def test_no_target_is_a_new_item_and_the_model_has_no_row_of_its_own_for_one(setting):
  chosen = splits.training_events(setting.dataset.interactions, setting.dataset.split)
  assert setting.known[setting.dataset.interactions.item[chosen]].all()
  assert isinstance(setting.task.model, GenerativeModel)
  trained = jax.tree.leaves(nnx.state(setting.task.model, nnx.Param))
  assert not any(leaf.shape[:1] == (len(setting.known),) for leaf in trained)
