"""The text encoder, its two halves, pooling and the language-modelling head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special

from rec_jax.models import text_encoder
from rec_jax.models.config import POOLINGS, TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import MaskedLanguageModelHead, TextEncoder
from rec_jax.types import InputError
from tests.models import modules

LAYERS = 2
CONFIG = TextEncoderConfig(
  vocab_size=20,
  max_length=8,
  transformer=TransformerConfig(num_layers=LAYERS, num_heads=2, hidden_dim=8, mlp_dim=12),
)
IDS = np.array([[5, 6, 7, 8, 9, 0], [5, 11, 12, 0, 0, 0]], np.int32)
MASK = (IDS > 0).astype(np.int32)


@pytest.fixture(scope='module')
def encoder():
  return modules.random(lambda: TextEncoder(CONFIG, rngs=nnx.Rngs(0)))


encode = jax.jit(lambda model, ids, mask: model(ids, mask))


@pytest.mark.parametrize('depth', range(LAYERS + 1))
def test_the_upper_part_continues_the_lower_one(encoder, depth):
  lower = jax.jit(lambda model: model.lower(IDS, MASK, depth))(encoder)
  whole = jax.jit(lambda model: model.upper(lower, MASK, depth))(encoder)
  np.testing.assert_allclose(whole, encode(encoder, IDS, MASK), atol=1e-5)
  assert depth == LAYERS or np.abs(lower - whole).max() > 0.1


def test_more_padding_changes_no_token(encoder):
  wider = [np.pad(x, ((0, 0), (0, 2))) for x in (IDS, MASK)]
  narrow, wide = encode(encoder, IDS, MASK), encode(encoder, *wider)
  np.testing.assert_allclose(wide[:, :6][MASK > 0], narrow[MASK > 0], atol=1e-5)


def test_order_counts(encoder):
  swapped = IDS[:, [0, 2, 1, 3, 4, 5]]
  before, after = encode(encoder, IDS, MASK), encode(encoder, swapped, MASK)
  assert (np.abs(after[:, [0, 2, 1]] - before[:, :3]).max(-1) > 1e-3).all()


def test_a_text_longer_than_the_encoder_is_refused(encoder):
  ids = np.ones((1, 9), np.int32)
  with pytest.raises(InputError, match='^texts of 9 tokens, but the encoder has 8 positions'):
    encoder(ids, ids)


def test_pooling_is_the_mean_over_tokens_alone():
  rng = np.random.default_rng(0)
  hidden = rng.normal(size=(3, 6, 4)).astype(np.float32)
  mask = np.arange(6) < np.array([[6], [4], [1]])
  expected = np.stack([hidden[0].mean(0), hidden[1, :4].mean(0), hidden[2, 0]])
  np.testing.assert_allclose(text_encoder.mean_pool(hidden, mask), expected, atol=1e-6)
  hidden[~mask] = np.float32(1e6)
  np.testing.assert_allclose(text_encoder.mean_pool(hidden, mask), expected, atol=1e-6)
  unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
  np.testing.assert_allclose(text_encoder.pool(hidden, mask, 'mean'), unit, atol=1e-6)


@pytest.mark.parametrize('pooling', POOLINGS)
def test_a_row_of_padding_pools_to_zero_and_spoils_no_gradient(pooling):
  hidden = jnp.ones((2, 3, 4))
  mask = jnp.array([[1, 1, 0], [0, 0, 0]])
  weight = jnp.arange(8.0).reshape(2, 4)
  pooled, grads = jax.value_and_grad(
    lambda x: (weight * text_encoder.pool(x, mask, pooling)).sum()
  )(hidden)
  np.testing.assert_allclose(pooled, weight[0].sum() / 2, rtol=1e-6)
  assert np.isfinite(grads).all()
  assert not np.asarray(grads[1]).any()
  assert np.asarray(grads[0, :2]).any()


@pytest.mark.parametrize(('pooling', 'expected'), [('first', [0, 0, 2, 1]), ('last', [5, 3, 2, 4])])
def test_pooling_by_one_token_takes_that_token(pooling, expected):
  hidden = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
  mask = np.array([[1] * 6, [1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 1, 1, 0, 1, 0]])
  token = hidden[np.arange(4), expected]
  unit = token / np.linalg.norm(token, axis=1, keepdims=True)
  np.testing.assert_allclose(text_encoder.pool(hidden, mask, pooling), unit, atol=1e-6)


def test_the_head_equals_numpy_in_float64():
  rng = np.random.default_rng(0)
  head = modules.random(lambda: MaskedLanguageModelHead(7, 5, rngs=nnx.Rngs(0)))
  hidden, embedding = rng.normal(size=(2, 3, 5)), rng.normal(size=(7, 5))
  x = hidden @ np.float64(head.dense.kernel[...]) + np.float64(head.dense.bias[...])
  x = x * special.ndtr(x)
  x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
  x = x * np.float64(head.norm.scale[...]) + np.float64(head.norm.bias[...])
  expected = x @ embedding.T + np.float64(head.bias[...])
  np.testing.assert_allclose(head(np.float32(hidden), np.float32(embedding)), expected, atol=1e-5)
