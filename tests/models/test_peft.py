"""Fine-tuning of the upper blocks: what is trained, what stays, and where it starts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import peft
from rec_jax.models.config import TUNING_METHODS, TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.types import InputError
from tests.models import modules

LAYERS, UPPER, RANK, H = 2, 1, 2, 4
DEPTH = LAYERS - UPPER
CONFIG = TextEncoderConfig(
  vocab_size=9,
  max_length=5,
  transformer=TransformerConfig(num_layers=LAYERS, num_heads=2, hidden_dim=H, mlp_dim=6),
)
IDS = np.array([[1, 2, 3, 4, 0], [5, 6, 0, 0, 0]], np.int32)
MASK = IDS > 0
METHODS = pytest.mark.parametrize('method', TUNING_METHODS)


def encoder():
  return modules.random(lambda: TextEncoder(CONFIG, rngs=nnx.Rngs(0)))


def adapted(method, num_blocks=UPPER):
  model = encoder()
  peft.adapt(model, method, num_blocks, RANK, nnx.Rngs(1))
  return model


@jax.jit
def encode(model):
  return model(IDS, MASK)


def loss(model):
  weight = jnp.arange(H, dtype=jnp.float32)
  return (model(IDS, MASK)[MASK] * weight).sum()


@jax.jit
def loss_and_step(model):
  """The loss before and after one step on what LoRA trains, the gradient and the new weights."""
  graphdef, params, rest = nnx.split(model, peft.trainable('lora', DEPTH), ...)
  before, grads = jax.value_and_grad(lambda p: loss(nnx.merge(graphdef, p, rest)))(params)
  stepped = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
  return before, loss(nnx.merge(graphdef, stepped, rest)), grads, stepped


@METHODS
def test_adapting_changes_no_output(method):
  np.testing.assert_array_equal(encode(adapted(method)), encode(encoder()))


def test_lora_trains_two_matrices_of_two_projections_of_each_upper_block():
  selected = modules.flat(nnx.state(adapted('lora'), peft.trainable('lora', DEPTH)))
  expected = {
    ('transformer', 'blocks', block, 'attention', projection, matrix): shape
    for block in range(DEPTH, LAYERS)
    for projection in ('query', 'value')
    for matrix, shape in [('lora_a', (H, RANK)), ('lora_b', (RANK, H))]
  }
  assert {path: value.shape for path, value in selected.items()} == expected


@pytest.mark.parametrize('num_blocks', range(LAYERS + 1))
def test_full_trains_exactly_the_upper_blocks(num_blocks):
  model = adapted('full', num_blocks)
  depth = LAYERS - num_blocks
  selected = set(modules.flat(nnx.state(model, peft.trainable('full', depth))))
  everything = set(modules.flat(encoder()))
  assert set(modules.flat(model)) == everything
  expected = {p for p in everything if p[0] == 'transformer' and p[2] in range(depth, LAYERS)}
  assert selected == expected
  assert len(selected) == 16 * num_blocks


@METHODS
def test_what_is_trained_has_a_gradient(method):
  graphdef, params, rest = nnx.split(adapted(method), peft.trainable(method, DEPTH), ...)
  grads = jax.jit(jax.grad(lambda p: loss(nnx.merge(graphdef, p, rest))))(params)
  for path, gradient in modules.flat(grads).items():
    # The gradient of A passes through B, which starts at 0; a constant added to all logits of a
    # query changes nothing, so the bias of the key has none.
    zero = path[-1] == 'lora_a' or path[-2:] == ('key', 'bias')
    assert (np.abs(gradient).max() < 1e-4) == zero, path


@METHODS
def test_the_lower_blocks_do_not_read_what_is_trained(method):
  model = adapted(method)
  lower = jax.jit(lambda model: model.lower(IDS, MASK, DEPTH))
  graphdef, params, rest = nnx.split(model, peft.trainable(method, DEPTH), ...)
  changed = nnx.merge(graphdef, jax.tree.map(lambda p: p + 1.0, params), rest)
  np.testing.assert_array_equal(lower(changed), lower(model))
  assert np.abs(encode(changed) - encode(model)).max() > 0.1


def test_a_lora_step_lowers_the_loss_and_opens_the_other_matrix():
  model = adapted('lora')
  before, after, grads, params = loss_and_step(model)
  assert 1e-3 < before - after < 10
  assert not any(g.any() for path, g in modules.flat(grads).items() if path[-1] == 'lora_a')
  nnx.update(model, params)
  _, _, grads, _ = loss_and_step(model)
  assert all(g.any() for g in modules.flat(grads).values())


def test_lora_is_a_product_added_to_the_frozen_projection():
  model = adapted('lora')
  layer = model.transformer.blocks[LAYERS - 1].attention.query
  layer.lora_b[...] = jnp.ones((RANK, H))
  x = np.random.default_rng(0).normal(size=(3, H)).astype(np.float32)
  base = layer.base_module
  weights = base.kernel[...] + layer.lora_a[...] @ layer.lora_b[...]
  np.testing.assert_allclose(layer(x), x @ weights + base.bias[...], atol=1e-5)


def test_what_cannot_be_adapted_is_refused():
  with pytest.raises(InputError, match='^unknown method "lore".*lora, full$'):
    adapted('lore')
  with pytest.raises(InputError, match='^3 blocks of an encoder that has 2; .*between 0 and 2$'):
    adapted('lora', LAYERS + 1)


def test_merged_low_rank_terms_give_the_same_vectors():
  model = adapted('lora')
  for block in model.transformer.blocks[DEPTH:]:
    for layer in (block.attention.query, block.attention.value):
      layer.lora_b[...] = jnp.full(layer.lora_b.shape, 0.3)
  before = encode(model)
  peft.merge(model)
  assert set(modules.flat(model)) == set(modules.flat(encoder()))
  np.testing.assert_allclose(encode(model), before, atol=1e-5)
  assert np.abs(before - encode(encoder())).max() > 0.01


def test_grouped_values_are_adapted_in_their_own_width():
  blocks = TransformerConfig(
    num_layers=1, num_heads=2, hidden_dim=H, mlp_dim=6, num_key_value_heads=1, query_bias=False
  )
  model = modules.random(
    lambda: TextEncoder(TextEncoderConfig(vocab_size=9, transformer=blocks), rngs=nnx.Rngs(0))
  )
  peft.adapt(model, 'lora', 1, RANK, nnx.Rngs(1))
  attention = model.transformer.blocks[0].attention
  assert attention.query.lora_b.shape == (RANK, H)
  assert attention.value.lora_b.shape == (RANK, H // 2)
