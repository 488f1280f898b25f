"""Transformer blocks against a plain NumPy implementation in float64."""

import jax
import numpy as np
import pytest
from flax import nnx
from scipy import special

from rec_jax.models.config import TransformerConfig
from rec_jax.models.transformer import Attention, Transformer
from rec_jax.types import InputError
from tests.models import modules

B, L, D, HEADS = 2, 6, 8, 2
ORDERS = pytest.mark.parametrize('norm_first', [False, True])
CAUSAL = pytest.mark.parametrize('causal', [False, True])
MASK = np.arange(L) < np.array([[L], [4]])


def config(**changes):
  return TransformerConfig(num_layers=2, num_heads=HEADS, hidden_dim=D, mlp_dim=12, **changes)


def inputs(seed=0):
  return np.random.default_rng(seed).normal(size=(B, L, D)).astype(np.float32)


@pytest.fixture(scope='module')
def apply():
  """(causal, norm_first, x, mask) -> (module, [B, L, D]), compiled once for each kind of stack."""
  stacks = {}
  run = jax.jit(lambda module, x, mask: module(x, mask))

  def of(causal, norm_first, x, mask=MASK):
    kind = causal, norm_first
    if kind not in stacks:
      stack = config(causal=causal, norm_first=norm_first, positions='alibi' if causal else 'none')
      stacks[kind] = modules.random(lambda: Transformer(stack, rngs=nnx.Rngs(0)))
    return stacks[kind], np.asarray(run(stacks[kind], x, mask))

  return of


def linear(layer, x):
  return x @ np.float64(layer.kernel[...]) + np.float64(layer.bias[...])


def layer_norm(layer, x):
  deviation = x - x.mean(-1, keepdims=True)
  normed = deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + 1e-12)
  return normed * np.float64(layer.scale[...]) + np.float64(layer.bias[...])


def attention(layer, x, mask, causal):
  """One query, one head at a time."""
  query, key, value = (linear(getattr(layer, name), x) for name in ('query', 'key', 'value'))
  size = D // HEADS
  out = np.zeros_like(x)
  for b, t, head in np.ndindex(B, L, HEADS):
    part = slice(head * size, (head + 1) * size)
    seen = [s for s in range(L) if mask[b, s] and (s <= t or not causal)]
    logits = [query[b, t, part] @ key[b, s, part] / np.sqrt(size) for s in seen]
    if causal:
      slope = 2.0 ** float(layer.log2_slopes[...][head])
      logits = [logit - slope * (t - s) for logit, s in zip(logits, seen, strict=True)]
    out[b, t, part] = special.softmax(logits) @ value[b, seen, part]
  return linear(layer.out, out)


def transformer(module, x, mask, causal, norm_first):
  x = np.float64(x)
  for block in module.blocks:
    if norm_first:
      x = x + attention(block.attention, layer_norm(block.attention_norm, x), mask, causal)
      x = x + mlp(block, layer_norm(block.mlp_norm, x))
    else:
      x = layer_norm(block.attention_norm, x + attention(block.attention, x, mask, causal))
      x = layer_norm(block.mlp_norm, x + mlp(block, x))
  return x


def mlp(block, x):
  hidden = linear(block.mlp_in, x)
  return linear(block.mlp_out, hidden * special.ndtr(hidden))


@CAUSAL
@ORDERS
def test_equals_numpy_in_float64(apply, causal, norm_first):
  module, actual = apply(causal, norm_first, inputs())
  expected = transformer(module, inputs(), MASK, causal, norm_first)
  np.testing.assert_allclose(actual, expected, atol=2e-5)
  # The reference tells right from wrong: without the mask or in the other order it is far off.
  for wrong in [
    transformer(module, inputs(), MASK, causal, not norm_first),
    transformer(module, inputs(), np.ones_like(MASK), causal, norm_first),
  ]:
    assert np.abs(actual - wrong).max() > 1e-2


@ORDERS
def test_the_future_changes_nothing_before_it(apply, norm_first):
  x, changed = inputs(), inputs()
  changed[:, 3:] = inputs(seed=1)[:, 3:]
  _, before = apply(True, norm_first, x)
  _, after = apply(True, norm_first, changed)
  np.testing.assert_array_equal(before[:, :3], after[:, :3])
  assert (np.abs(before - after)[:, 3:].max((1, 2)) > 0.1).all()
  _, before = apply(False, norm_first, x)
  _, after = apply(False, norm_first, changed)
  assert (np.abs(before - after)[:, :3].max((1, 2)) > 0.01).all()


@CAUSAL
@ORDERS
def test_padding_does_not_leak(apply, causal, norm_first):
  changed = inputs()
  changed[~MASK] = 10 * inputs(seed=1)[~MASK]
  _, before = apply(causal, norm_first, inputs())
  _, after = apply(causal, norm_first, changed)
  np.testing.assert_array_equal(before[MASK], after[MASK])
  assert np.abs(before - after)[~MASK].max() > 0.1


def test_the_first_recency_slopes_are_those_published_for_eight_heads():
  attention = Attention(
    TransformerConfig(num_layers=1, num_heads=8, hidden_dim=8, mlp_dim=8, positions='alibi'),
    rngs=nnx.Rngs(0),
  )
  origin = 'slopes of ALiBi (Press et al. 2022, section 3) for 8 heads'
  expected = [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]
  np.testing.assert_allclose(2 ** attention.log2_slopes[...], expected, rtol=1e-6, err_msg=origin)


def test_dropout_acts_in_training_only():
  run = jax.jit(lambda module, key: module(inputs(), MASK, nnx.Rngs(dropout=key)))
  keys = [jax.random.key(seed) for seed in (0, 1)]
  quiet = modules.random(lambda: Transformer(config(dropout_rate=0.5), rngs=nnx.Rngs(0)))
  np.testing.assert_array_equal(run(quiet, keys[0]), run(quiet, keys[1]))
  training = nnx.view(quiet, deterministic=False)
  assert np.abs(run(training, keys[0]) - run(training, keys[1])).max() > 0.1
  np.testing.assert_array_equal(run(training, keys[0]), run(training, keys[0]))


def test_heads_must_divide_the_width():
  with pytest.raises(InputError, match='^num_heads is 3, which does not divide 8'):
    TransformerConfig(num_layers=1, num_heads=3, hidden_dim=8, mlp_dim=8)
