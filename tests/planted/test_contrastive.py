"""What belongs together in a planted world is found by text once an encoder has learnt it.

Words tell topics, but an encoder with random weights does not know which words do: it takes texts
for alike that share a filler. Users choose within topics, so pairs of their items show it.
"""

import functools

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

STEPS = {'num_steps': 120, 'batch_size': 32, 'num_held_out': 32, 'encoder_learning_rate': 1e-2}


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """(the truth, the data set)."""
  truth = world.make(0)
  return truth, world.dataset(truth, tmp_path_factory.mktemp('planted'))


@functools.cache
def _encoder():
  return small.encoder(hidden_dim=32, max_length=24)


def trained(data, kind, directory, **changes):
  """The encoder after one of the contrastive objectives."""
  config = PretrainConfig(objective=kind, **(STEPS | changes))
  if kind == 'contrastive':
    objective = contrastive.of_texts(config.temperature)
    texts = Texts.split(data.corpus_ids, data.corpus_mask, config.num_held_out, 0)
  else:
    objective = contrastive.of_pairs(config.temperature, 'items')
    texts = item_pairs.texts(data, config, small.BERT.mask, 0)
  task = pretraining.task('continued', nnx.clone(_encoder()), texts, objective, config, 0)
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  return parts.merge(state.average, state.cache).encoder


def lifts_retrieval(truth, data, encoder):
  """The ten nearest of a text are more often of its topic, and the stage would hand it on."""
  before, after = (measures(truth, data, each)['same topic'] for each in (_encoder(), encoder))
  assert after > before + 0.15, (before, after)
  assert judgement.judge(_encoder(), encoder, data, Config()).takes_continued


@pytest.mark.parametrize('kind', item_pairs.KINDS)
def test_what_users_chose_teaches_which_words_matter(planted, tmp_path, kind):
  truth, data = planted
  lifts_retrieval(truth, data, trained(data, kind, tmp_path, history_items=3))
