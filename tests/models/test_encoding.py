"""Texts of like length are encoded together, which changes no vector."""

import numpy as np
import pytest
from flax import nnx

from rec_jax.models import encoding
from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from tests.models import modules

LENGTH = 40


@pytest.fixture(scope='module')
def encoder():
  blocks = TransformerConfig(num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
  sizes = TextEncoderConfig(vocab_size=50, max_length=LENGTH, transformer=blocks)
  return modules.random(lambda: TextEncoder(sizes, rngs=nnx.Rngs(0)))


def texts(lengths):
  ids = np.random.default_rng(0).integers(5, 50, (len(lengths), LENGTH)).astype(np.int32)
  mask = (np.arange(LENGTH) < np.asarray(lengths)[:, None]).astype(np.int32)
  return ids * mask, mask


def widths(monkeypatch, call):
  """What a call gives, and how many texts it encodes at which width."""
  seen = {}

  def counted(inner):
    def call_and_count(encoder, inputs, mask, **depth):
      seen[mask.shape[1]] = seen.get(mask.shape[1], 0) + len(mask)
      return inner(encoder, inputs, mask, **depth)

    return call_and_count

  for name in ('_text_vectors', '_lower', '_upper'):
    monkeypatch.setattr(encoding, name, counted(getattr(encoding, name)))
  return call(), seen


def test_vectors_are_those_of_texts_padded_alike(encoder, monkeypatch):
  lengths = np.random.default_rng(1).permutation(np.repeat([3, 16, 17, 40], [200, 100, 30, 20]))
  ids, mask = texts(lengths)
  padded = np.asarray(encoding._text_vectors(encoder, ids, mask))
  found, seen = widths(monkeypatch, lambda: encoding.text_vectors(encoder, ids, mask))
  np.testing.assert_allclose(found, padded, atol=1e-6)
  # 300 texts of up to 16 tokens in five batches; those of 17 are too few for a width of their own.
  assert seen == {16: 320, LENGTH: 64}


def test_the_lower_blocks_and_the_upper_ones_make_the_same_vectors(encoder):
  ids, mask = texts(np.repeat([9, 30, 33], [260, 260, 5]))
  lower = encoding.lower_activations(encoder, ids, mask, 1)
  assert lower.shape == (*mask.shape, 8)
  assert not lower[0, 16:].any() and lower[0, :9].all(), 'padding is not computed'
  found = encoding.upper_text_vectors(encoder, lower, mask, 1)
  np.testing.assert_allclose(found, encoding._text_vectors(encoder, ids, mask), atol=1e-6)


@pytest.mark.parametrize('number', [1, 65, 255])
def test_few_texts_are_one_program_however_short(encoder, monkeypatch, number):
  ids, mask = texts(np.full(number, 2))
  found, seen = widths(monkeypatch, lambda: encoding.text_vectors(encoder, ids, mask))
  assert list(seen) == [LENGTH] and found.shape == (number, 8)
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
