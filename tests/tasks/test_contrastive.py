"""Two readings of a text, and what may not be a negative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.data.text_batches import PairBatch, TextBatch
from rec_jax.tasks import contrastive
from rec_jax.types import InputError
from tests.helpers import small
from tests.tasks.test_masked_language_modelling import texts

IDS, MASK = (jnp.asarray(each[:6]) for each in texts())


def loss(objective, model, batch, rngs=None):
  # One program instead of one for each operation.
  losses = nnx.jit(lambda model, rngs: objective.losses(model, jax.random.key(0), batch, rngs))
  values, weights = losses(model, rngs)
  assert values.shape == weights.shape == (6, 1)
  return np.asarray(values[:, 0])


@nnx.jit
def pooled(model, ids, mask):
  return model.encoder.pool(model.encoder(ids, mask), mask)


def unit(model, ids, mask):
  return np.asarray(pooled(model, ids, mask), np.float64)


def test_readings_differ_by_dropout_in_training_and_in_nothing_out_of_it():
  objective = contrastive.of_texts(0.1)
  model = objective.model(small.encoder(), 0)
  batch = TextBatch(IDS, MASK)
  train = loss(objective, model, batch, nnx.Rngs(dropout=0))
  other = loss(objective, model, batch, nnx.Rngs(dropout=1))
  assert not np.allclose(train, other, rtol=1e-3)
  quiet = nnx.view(model, deterministic=True)
  vectors = unit(quiet, IDS, MASK)
  logits = vectors @ vectors.T / 0.1
  expected = np.log(np.exp(logits).sum(1)) - np.diagonal(logits)
  np.testing.assert_allclose(loss(objective, quiet, batch), expected, rtol=1e-4, atol=1e-5)


def test_a_text_that_occurs_twice_is_no_negative_of_itself():
  objective = contrastive.of_texts(0.1)
  model = nnx.view(objective.model(small.encoder(), 0), deterministic=True)
  twice = TextBatch(IDS.at[1].set(IDS[0]), MASK.at[1].set(MASK[0]))
  once = TextBatch(jnp.delete(twice.input_ids, 1, axis=0), jnp.delete(twice.mask, 1, axis=0))
  vectors = unit(model, *once[:2])
  logits = vectors @ vectors.T / 0.1
  expected = np.log(np.exp(logits[0]).sum()) - logits[0, 0]
  found = loss(objective, model, twice)
  np.testing.assert_allclose(found[:2], expected, rtol=1e-4, atol=1e-5)


def test_pairs_are_told_apart_by_item():
  objective = contrastive.of_pairs(0.1, 'items')
  model = nnx.view(objective.model(small.encoder(), 0), deterministic=True)
  other = TextBatch(IDS[::-1], MASK[::-1])
  batch = PairBatch(TextBatch(IDS, MASK), other, jnp.arange(6))
  one, two = unit(model, IDS, MASK), unit(model, *other[:2])
  logits = one @ two.T / 0.1
  expected = np.log(np.exp(logits).sum(1)) - np.diagonal(logits)
  np.testing.assert_allclose(loss(objective, model, batch), expected, rtol=1e-4, atol=1e-5)


def test_an_encoder_without_dropout_has_no_second_reading():
  encoder = small.encoder()
  encoder.dropout.rate = 0.0
  with pytest.raises(InputError, match='the encoder has none; set --config.pretrain.objective'):
    contrastive.of_texts(0.1).model(encoder, 0)
