"""What belongs together in a planted world is found by text once an encoder has learnt it.

An encoder with random weights takes texts for alike that share any word, and all texts for more
alike than not. Users choose within topics, so what they chose shows which words matter; and texts
alone show that they are different.
"""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import judgement
from rec_jax.tasks import contrastive, item_pairs, pretraining
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import loop
from tests.helpers import small
from tests.planted import world
from tests.planted.test_pretraining import measures


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """(the truth, the data set, an encoder, what is measured of it)."""
  truth = world.make(0)
  data = world.dataset(truth, tmp_path_factory.mktemp('planted'))
  # Three texts of eight tokens and a mask.
  encoder = small.encoder(hidden_dim=32, max_length=25)
  return truth, data, encoder, measures(truth, data, encoder)


def trained(encoder, data, directory, kind, temperature, num_steps):
  """The encoder after one of the contrastive objectives."""
  config = PretrainConfig(
    objective=kind,
    history_items=3,
    temperature=temperature,
    num_steps=num_steps,
    num_held_out=32,
    encoder_learning_rate=3e-3,
  )
  if kind == 'contrastive':
    objective = contrastive.of_texts(temperature)
    texts = Texts.split(data.corpus_ids, data.corpus_mask, config.num_held_out, 0)
  else:
    objective = contrastive.of_pairs(temperature, 'items')
    texts = item_pairs.texts(data, config, small.BERT.mask, 0)
  task = pretraining.task('continued', nnx.clone(encoder), texts, objective, config, 0)
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  return parts.merge(state.average, state.cache).encoder


def lifts_retrieval(before, after):
  """The ten nearest of a text are more often of its topic."""
  assert after['same topic'] > before['same topic'] + 0.12, (before, after)


@pytest.mark.soak
@pytest.mark.parametrize('kind', ['pairs', 'next_item', 'masked_item'])
def test_what_users_chose_teaches_which_words_matter(planted, tmp_path, kind):
  truth, data, encoder, before = planted
  after = trained(encoder, data, tmp_path, kind, contrastive.OF_ITEMS, num_steps=120)
  lifts_retrieval(before, measures(truth, data, after))
  assert judgement.judge(encoder, after, data, Config()).takes_continued


@pytest.mark.soak
def test_items_of_other_users_teach_nothing(planted, tmp_path):
  """The same items as often, but dealt out at random."""
  truth, data, encoder, before = planted
  trained_on = data.split.train_mask
  item = data.interactions.item.copy()
  item[trained_on] = np.random.default_rng(0).permutation(item[trained_on])
  dealt = dataclasses.replace(data, interactions=dataclasses.replace(data.interactions, item=item))
  after = trained(encoder, dealt, tmp_path, 'pairs', contrastive.OF_ITEMS, num_steps=120)
  with pytest.raises(AssertionError):
    lifts_retrieval(before, measures(truth, data, after))


def keeps_texts_apart(before, after):
  assert after['mean cosine'] < 0.5 * before['mean cosine'], (before, after)
  assert after['effective rank'] > 1.15 * before['effective rank'], (before, after)
  assert after['same topic'] > before['same topic'] - 0.05, (before, after)


@pytest.mark.soak
def test_two_readings_of_a_text_teach_that_texts_differ(planted, tmp_path, monkeypatch):
  truth, data, encoder, before = planted
  after = trained(encoder, data, tmp_path / 'a', 'contrastive', contrastive.OF_TEXTS, num_steps=60)
  keeps_texts_apart(before, measures(truth, data, after))
  # Without negatives there is nothing to tell a text from.
  alone = lambda one, other, temperature, same: 1 - (one * other).sum(-1)  # noqa: E731
  monkeypatch.setattr(contrastive, 'info_nce', alone)
  after = trained(encoder, data, tmp_path / 'b', 'contrastive', contrastive.OF_TEXTS, num_steps=60)
  with pytest.raises(AssertionError):
    keeps_texts_apart(before, measures(truth, data, after))
