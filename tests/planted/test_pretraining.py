"""Pre-training leaves texts of one topic near to each other, and different topics apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data import sources
from rec_jax.data.config import DataConfig
from rec_jax.evaluation import isotropy
from rec_jax.models import encoding
from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import judgement
from rec_jax.tasks import masked_language_modelling, pretraining, text_encoders, zero_shot
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import loop
from tests.helpers import small
from tests.planted import world

HELD_OUT = 32


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """(the truth, the data set)."""
  truth = world.make(0)
  return truth, world.dataset(truth, tmp_path_factory.mktemp('planted'))


def pretrained(data, encoder, directory, **changes):
  """The encoder after the default settings but for `changes`, and by how much the loss fell."""
  config = PretrainConfig(num_held_out=HELD_OUT, **changes)
  texts = Texts.split(data.corpus_ids, data.corpus_mask, config.num_held_out, 0)
  encoder = nnx.clone(encoder)
  objective = masked_language_modelling.objective(small.BERT, config.mask_rate)
  task = pretraining.task('continued', encoder, texts, objective, config, 0)
  before = pretraining.held_out_losses(task.model, texts, objective, config, 0)
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  model = parts.merge(*state.best)
  after = pretraining.held_out_losses(model, texts, objective, config, 0)
  return model.encoder, (before - after).mean()


def measures(truth, data, encoder):
  """Share of the ten nearest that are of the same topic, mean cosine, and effective rank."""
  vectors = encoding.text_vectors(encoder, data.input_ids, data.attention_mask)
  unit = np.asarray(zero_shot.directions(vectors, np.ones(len(vectors), bool)))
  similarity = unit @ unit.T - 3 * np.eye(len(unit))
  nearest = np.argsort(-similarity, axis=1)[:, :10]
  return {
    'same topic': float((truth.topic[nearest] == truth.topic[:, None]).mean()),
    'mean cosine': isotropy.mean_cosine(vectors),
    'effective rank': isotropy.effective_rank(vectors),
  }


def keeps_retrieval(before, after):
  """Texts of a topic are found as before, in as many directions."""
  assert after['same topic'] > before['same topic'] - 0.05, (before, after)
  assert after['effective rank'] > 0.9 * before['effective rank'], (before, after)


def keeps_texts_apart(before, after):
  """The distance of two texts, 1 minus their cosine, is as large as before."""
  assert 1 - after['mean cosine'] > 0.9 * (1 - before['mean cosine']), (before, after)


@pytest.fixture(scope='module')
def default(planted, tmp_path_factory):
  """The measures before pre-training with the default settings and after it; the loss's fall."""
  truth, data = planted
  encoder = small.encoder(hidden_dim=32)
  after, fall = pretrained(data, encoder, tmp_path_factory.mktemp('default'))
  return measures(truth, data, encoder), measures(truth, data, after), fall


@pytest.fixture(scope='module')
def published(tmp_path_factory):
  """The same of the published encoder."""
  directory = tmp_path_factory.mktemp('published')
  truth = world.make(0)
  data = world.dataset(truth, directory, sources.minilm_files().tokenizer)
  encoder = text_encoders.published(DataConfig())
  after, _ = pretrained(data, encoder, directory)
  return measures(truth, data, encoder), measures(truth, data, after)


def test_texts_of_a_topic_are_near_before_any_training(default):
  """What pre-training could lose is there: by chance one text in six is of the same topic."""
  before, *_ = default
  assert before['same topic'] > 0.4
  keeps_retrieval(before, before)
  keeps_texts_apart(before, before)


def test_pretraining_keeps_retrieval_by_text(default):
  keeps_retrieval(*default[:2])


def test_pretraining_keeps_texts_apart(default):
  keeps_texts_apart(*default[:2])


def test_pretraining_lowers_the_loss_on_held_out_texts(default):
  """A head that starts at random learns .01 nats in 24 steps, and without them nothing."""
  assert default[2] > 0.005


@pytest.mark.soak
def test_random_weights_learn_the_topics_from_the_texts_alone(planted, tmp_path):
  truth, data = planted
  encoder = small.encoder(hidden_dim=32)
  rates = {'learning_rate': 3e-3, 'encoder_learning_rate': 3e-3}
  after, fall = pretrained(data, encoder, tmp_path, init='random', num_steps=400, **rates)
  assert fall > 2
  assert measures(truth, data, after)['same topic'] > 0.9


@pytest.mark.soak
@pytest.mark.parametrize('check', [keeps_retrieval, keeps_texts_apart])
def test_pretraining_keeps_the_published_encoder(published, check):
  check(*published)


@pytest.mark.soak
def test_a_ruinous_learning_rate_keeps_neither(planted, tmp_path):
  truth, data = planted
  encoder = small.encoder(hidden_dim=32)
  before = measures(truth, data, encoder)
  ruined, _ = pretrained(data, encoder, tmp_path, encoder_learning_rate=0.3)
  after = measures(truth, data, ruined)
  for check in (keeps_retrieval, keeps_texts_apart):
    with pytest.raises(AssertionError):
      check(before, after)


def collapsed_encoder():
  """To which all words are one."""
  encoder = small.encoder(hidden_dim=32)
  words = encoder.token.embedding
  words[...] = jnp.broadcast_to(words[...].mean(0), words[...].shape)
  return encoder


def test_an_encoder_that_tells_no_words_apart_keeps_neither(planted, default):
  before, *_ = default
  for check in (keeps_retrieval, keeps_texts_apart):
    with pytest.raises(AssertionError):
      check(before, measures(*planted, collapsed_encoder()))


def test_an_encoder_that_finds_fewer_items_is_left(planted):
  _, data = planted
  encoder, collapsed = small.encoder(hidden_dim=32), collapsed_encoder()
  config = Config()
  assert not judgement.judge(encoder, collapsed, data, config).takes_continued
  assert judgement.judge(collapsed, encoder, data, config).takes_continued
  same = judgement.judge(encoder, encoder, data, config)
  assert same.takes_continued
  (difference,) = (row for row in same.rows if row['subject'] == judgement.DIFFERENCE)
  assert difference['value'] == 0
  config.pretrain.take = 'continued'
  assert judgement.judge(encoder, collapsed, data, config).takes_continued
