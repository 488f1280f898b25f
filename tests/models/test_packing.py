"""Packed texts have the vectors that they have alone, in encoders of every kind of positions."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data import text_batches
from rec_jax.models import packing
from rec_jax.models.hugging_face import folder

ENCODERS = pathlib.Path(__file__).parents[1] / 'data/encoders'


@jax.jit
def vectors(encoder, ids, mask, packed):
  """Of texts alone, of packed ones, and of packed ones that see each other; in one program."""
  alone, apart = (packing.token_vectors(encoder, ids, mask, each) for each in (None, packed))
  positions = jnp.maximum(packed, 0) % ids.shape[1]
  return alone, apart, encoder(packing.take(ids, packed), packed >= 0, None, positions)


# Absolute positions, those of RoBERTa, causal attention, rotary positions.
@pytest.mark.parametrize(
  'name',
  ['bert', 'qwen2', *(pytest.param(name, marks=pytest.mark.soak) for name in ('roberta', 'gpt2'))],
)
def test_packed_vectors_are_those_of_texts_alone(name):
  golden = np.load(ENCODERS / name / 'golden.npz')
  ids, mask = golden['input_ids'], golden['attention_mask']
  lengths = mask.sum(1)
  packed = text_batches.pack(lengths, ids.shape[1], 2 * ids.shape[1])
  assert len(packed) < len(ids) / 1.5
  # A row without a token is no trouble.
  packed = np.pad(packed, ((0, 1), (0, 0)), constant_values=-1)
  encoder = nnx.view(folder.load(ENCODERS / name), deterministic=True)
  alone, found, seen = (np.asarray(each) for each in vectors(encoder, ids, mask, packed))
  np.testing.assert_allclose(found[mask > 0], alone[mask > 0], atol=2e-5)
  assert not found[mask == 0].any()
  # Texts that see each other are far off.
  found, expected = seen[packed >= 0], alone.reshape(-1, seen.shape[-1])[packed[packed >= 0]]
  assert np.abs(found - expected).max() > 0.1
