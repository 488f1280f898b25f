"""The next token: losses of the reference, what training changes, and when it is the objective."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data.text_batches import TextBatch
from rec_jax.models.hugging_face import folder
from rec_jax.runs.config import Config
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.tasks import causal_language_modelling as modelling
from rec_jax.tasks import pretraining
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import loop
from tests.models import modules

GOLDEN = pathlib.Path(__file__).parents[1] / 'data/encoders'
CONFIG = PretrainConfig(num_steps=4, batch_size=4, num_held_out=2, encoder_learning_rate=1e-2)


def golden(name):
  arrays = np.load(GOLDEN / name / 'golden.npz')
  return arrays['input_ids'], arrays['attention_mask'], arrays['next_token_loss']


@jax.jit
def losses(model, ids, mask):
  return modelling.objective().losses(model, jax.random.key(0), TextBatch(ids, mask), None)


@pytest.mark.parametrize(('name', 'has_own'), [('gpt2', False), ('llama', True)])
def test_the_first_losses_are_those_of_the_published_language_model(name, has_own):
  """GPT-2's output matrix is its token embedding, that of the Llama is its own."""
  ids, mask, expected = golden(name)
  matrix = folder.output_matrix(GOLDEN / name)
  assert (matrix is not None) == has_own
  objective = modelling.objective(matrix)
  model = objective.model(nnx.view(folder.load(GOLDEN / name), deterministic=True), 0)
  values, weights = losses(model, ids, mask)
  origin = 'golden losses are of transformers 5.24.0, see tests/data/encoders/README.md'
  np.testing.assert_array_equal(weights, mask[:, 1:])
  np.testing.assert_allclose(values * weights, expected, atol=1e-4, rtol=1e-5, err_msg=origin)


def test_training_lowers_the_loss_and_leaves_both_embeddings(tmp_path):
  ids, mask, _ = golden('llama')
  ids, mask = np.tile(ids, (4, 1)), np.tile(mask, (4, 1))
  texts = Texts.split(ids, mask, CONFIG.num_held_out, 0)
  objective = modelling.objective(folder.output_matrix(GOLDEN / 'llama'))
  encoder = folder.load(GOLDEN / 'llama')
  task = pretraining.task('continued', nnx.clone(encoder), texts, objective, CONFIG, 0)
  before = pretraining.held_out_losses(task.model, texts, objective, CONFIG, 0)
  state, parts = loop.train(task, tmp_path, jax.random.key(0), {})
  model = parts.merge(state.average, state.cache)
  after = pretraining.held_out_losses(model, texts, objective, CONFIG, 0)
  assert after.mean() < before.mean()
  start, end = modules.flat(encoder), modules.flat(model.encoder)
  changed = {path[0] for path in start if not np.array_equal(start[path], end[path])}
  assert changed == {'transformer', 'final_norm'}
  np.testing.assert_array_equal(model.output_matrix[...], folder.output_matrix(GOLDEN / 'llama'))


def test_texts_without_a_second_token_have_nothing_to_predict():
  mask = jnp.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]])
  assert modelling.objective().has_target(mask, mask).tolist() == [False, False, True]


@pytest.mark.parametrize(
  ('name', 'metric'),
  [('bert', 'masked_lm_loss'), ('xlm_roberta', 'masked_lm_loss'), ('qwen2', 'causal_lm_loss')],
)
def test_the_encoder_decides_what_is_predicted(name, metric):
  config = Config()
  config.data.text_model = str(GOLDEN / name)
  assert pretrain._objective(config).metric == metric
