"""What changes how a step is computed leaves what is computed: layouts, parts, types, memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from rec_jax.data import text_batches
from rec_jax.models import compute
from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.transformer import Transformer
from rec_jax.tasks import (
  causal_language_modelling,
  contrastive,
  masked_language_modelling,
  pretraining,
)
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import loop
from tests.helpers import small
from tests.tasks.test_masked_language_modelling import texts

CONFIG = PretrainConfig(num_steps=4, batch_size=8, num_held_out=16, encoder_learning_rate=1e-2)
TEXTS = Texts.split(*texts(), 16, 0)
OBJECTIVES = {
  'masked': masked_language_modelling.objective(small.BERT, 0.3),
  'causal': causal_language_modelling.objective(),
  'contrastive': contrastive.of_texts(0.1),
}


def encoder(name, dropout_rate=0.0):
  """Of a block whose weights are large enough for attention to matter."""
  blocks = TransformerConfig(
    num_layers=1,
    num_heads=2,
    hidden_dim=8,
    mlp_dim=16,
    causal=name == 'causal',
    dropout_rate=dropout_rate,
  )
  sizes = TextEncoderConfig(vocab_size=small.VOCAB_SIZE, max_length=8, transformer=blocks)
  made = TextEncoder(sizes, rngs=nnx.Rngs(0))
  made.token.embedding[...] *= 50
  return made


def gradient(name, **changes):
  """Loss and gradient of the first step."""
  config = dataclasses.replace(CONFIG, **changes)
  dropout_rate = 0.1 if name == 'contrastive' else 0.0
  task = pretraining.task(
    'continued', encoder(name, dropout_rate), TEXTS, OBJECTIVES[name], config, 0
  )
  if name == 'contrastive':
    # Draws of dropout depend on the layout.
    task = task._replace(model=nnx.view(task.model, deterministic=True))
  state, parts = loop.start(task, jax.random.key(0))
  batch = jax.tree.map(jnp.asarray, next(iter(task.batches)))

  @jax.jit
  def of(params):
    def mean(params):
      model = nnx.merge(parts.graphdef, params, state.cache, parts.frozen, copy=True)
      losses, weights, _ = task.losses(model, jax.random.key(1), batch, (), None)
      return (losses * weights).sum() / weights.sum()

    return jax.value_and_grad(mean)(params)

  loss, grads = of(state.params)
  flat = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(grads)])
  return float(loss), np.asarray(flat)


@pytest.fixture(scope='module')
def plain():
  return {name: gradient(name) for name in OBJECTIVES}


def assert_same(one, other, rtol):
  np.testing.assert_allclose(one[0], other[0], rtol=rtol)
  scale = np.abs(other[1]).max()
  assert scale > 1e-3
  np.testing.assert_allclose(one[1], other[1], atol=rtol * scale, rtol=rtol)


@pytest.mark.parametrize('name', OBJECTIVES)
def test_packed_texts_have_the_losses_and_gradients_of_padded_ones(plain, name):
  assert_same(gradient(name, layout='packed'), plain[name], 2e-5)


def test_rematerialisation_changes_no_gradient(plain):
  assert_same(gradient('causal', rematerialise=True), plain['causal'], 1e-6)


@pytest.mark.soak
def test_rematerialisation_takes_less_memory():
  blocks = TransformerConfig(num_layers=4, num_heads=2, hidden_dim=16, mlp_dim=128)
  found = {}
  for rematerialise in (False, True):
    stack = Transformer(blocks, rngs=nnx.Rngs(0))
    compute.configure(stack, 'float32', rematerialise)
    graphdef, state = nnx.split(stack)

    def total(state, x, key, graphdef=graphdef):
      return nnx.merge(graphdef, state)(x, jnp.ones(x.shape[:2]), nnx.Rngs(dropout=key)).sum()

    gradient = jax.jit(jax.grad(total))
    lowered = gradient.lower(state, jnp.ones((64, 8, 16)), jax.random.key(0))
    found[rematerialise] = lowered.compile().memory_analysis().temp_size_in_bytes
  assert found[True] < 0.6 * found[False]


def test_products_in_bfloat16_give_nearly_the_same_gradient(plain):
  loss, grads = gradient('masked', dtype='bfloat16')
  expected, direction = plain['masked']
  np.testing.assert_allclose(loss, expected, rtol=0.02)
  cosine = grads @ direction / np.linalg.norm(grads) / np.linalg.norm(direction)
  assert cosine > 0.99
  # It is not float32 after all.
  assert np.abs(grads - direction).max() > 1e-4 * np.abs(direction).max()


def test_sums_of_products_are_of_float32():
  """Of 4096 ones: in bfloat16 a sum would stay at 256, whose neighbour is 258."""
  layer = nnx.Linear(4096, 1, rngs=nnx.Rngs(0))
  layer.kernel[...] = jnp.ones((4096, 1))
  compute.configure(layer, 'bfloat16', False)
  found = layer(jnp.ones((2, 4096)))
  assert found.dtype == jnp.bfloat16
  np.testing.assert_array_equal(found, 4096)
  compute.configure(layer, 'float32', False)
  assert layer(jnp.ones((2, 4096))).dtype == jnp.float32


def test_micro_batches_are_one_large_batch():
  """Of texts of unlike lengths: a mean of the means of the parts would be another step."""
  moved = {}
  for parts in (1, 4):
    config = dataclasses.replace(CONFIG, micro_batches=parts)
    made = encoder('causal')
    task = pretraining.task('continued', made, TEXTS, OBJECTIVES['causal'], config, 0)
    # As it is, without a norm of what the gradients were.
    task = task._replace(optimizer=optax.sgd(1.0))
    state, model = loop.start(task, jax.random.key(0))
    before = jax.tree.map(np.array, state.params)
    step = loop.make_step(task, model.graphdef, None)
    state, metrics = step(state, next(iter(task.batches)), (model.frozen, task.data))
    after = jax.tree.map(lambda new, old: np.asarray(new) - old, state.params, before)
    moved[parts] = (
      float(metrics['loss']),
      np.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(after)]),
    )
  assert_same(moved[4], moved[1], 1e-5)


def test_a_mean_of_means_is_another_step():
  """What the last test would not notice if all texts were of one length."""
  batch = next(iter(text_batches.batches(TEXTS.train, 8, 0)))
  counts = (batch.mask[:, 1:]).reshape(4, 2, -1).sum((1, 2))
  assert counts.max() > 1.3 * counts.min()


def test_masks_are_drawn_anew_in_every_step_and_epoch():
  """Dynamic masking (Liu et al. 2019, 4.1): the loss on the same texts varies."""
  objective = OBJECTIVES['masked']
  model = nnx.view(objective.model(encoder('masked'), 0), deterministic=True)
  batch = jax.tree.map(jnp.asarray, TEXTS.held_out)

  @jax.jit
  def loss(step):
    key = jax.random.fold_in(jax.random.key(0), step)
    losses, weights = objective.losses(model, key, batch, None)
    return (losses * weights).sum()

  values = [float(loss(step)) for step in range(4)]
  assert len(set(values)) == 4
  assert values[0] == float(loss(0))


@pytest.mark.parametrize(
  ('number', 'wanted'),
  [(10, 24), (24 * 8, 24), (24 * 8 + 1, 25), (400, 50), (8000, 300), (10**9, 300)],
)
def test_each_text_is_read_once_within_bounds(number, wanted):
  many = Texts(TEXTS.train._replace(size=number), TEXTS.held_out)
  config = PretrainConfig(batch_size=8)
  assert pretraining.num_steps(many, config) == wanted
  assert pretraining.num_steps(many, dataclasses.replace(config, num_steps=3)) == 3


def test_a_task_lasts_as_many_steps_as_there_are_texts():
  many = Texts(TEXTS.train._replace(size=400), TEXTS.held_out)
  config = dataclasses.replace(CONFIG, num_steps=0)
  task = pretraining.task('continued', encoder('causal'), many, OBJECTIVES['causal'], config, 0)
  assert task.schedule.num_steps == 50
