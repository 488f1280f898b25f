"""Both variants start alike, and are judged on the same hidden tokens."""

import dataclasses
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.data.text_batches import TextBatch
from rec_jax.tasks import masked_language_modelling as modelling
from rec_jax.tasks import pretraining
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.training import loop
from rec_jax.types import InputError
from tests.helpers import small
from tests.models import modules

V = small.VOCAB_SIZE
PAD, (CLS, SEP) = small.BERT.pad, small.BERT.frame
SPECIAL = (PAD, CLS, SEP)
CONFIG = PretrainConfig(num_steps=4, batch_size=8, num_held_out=16)
OBJECTIVE = modelling.objective(small.BERT, CONFIG.mask_rate)


def split(input_ids, mask):
  return Texts.split(input_ids, mask, CONFIG.num_held_out, 0)


def held_out_losses(model, held_out, seed=0):
  return pretraining.held_out_losses(model, held_out, OBJECTIVE, CONFIG, seed)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """variant -> held-out losses before and after, and the model."""
  held_out, found = split(*texts()), {}
  for variant in pretraining.VARIANTS:
    task = pretraining.task(variant, small.encoder(), held_out, OBJECTIVE, CONFIG, 0)
    before = held_out_losses(task.model, held_out)
    directory = tmp_path_factory.mktemp(variant)
    state, parts = loop.train(task, directory, jax.random.key(0), {})
    model = parts.merge(state.average, state.cache)
    found[variant] = before, held_out_losses(model, held_out), model
  return found


def texts(number=40, length=8):
  """[CLS] words [SEP] padding."""
  rng = np.random.default_rng(0)
  ids = rng.integers(V - 20, V, (number, length)).astype(np.int32)
  ids[:, 0] = CLS
  end = rng.integers(2, length, number)
  ids[np.arange(number), end] = SEP
  ids[np.arange(length) > end[:, None]] = PAD
  return ids, (ids != PAD).astype(np.int32)


def test_the_variants_start_with_the_same_loss_and_part_by_training(trained):
  before, after, _ = zip(*trained.values(), strict=True)
  np.testing.assert_array_equal(*before)
  # With 40 texts of 20 words anything that learns improves in four steps.
  assert all(losses.mean() < before[0].mean() for losses in after)
  assert not np.array_equal(*after)


def test_only_the_continued_variant_changes_the_encoder(trained):
  start = modules.flat(small.encoder())
  for variant, (*_, model) in trained.items():
    end = modules.flat(model.encoder)
    changed = {path[0] for path in start if not np.array_equal(start[path], end[path])}
    # The embeddings are tied to the output and stay.
    assert changed == (set() if variant == 'frozen' else {'transformer'})


def test_an_encoder_of_random_weights_learns_whole_from_the_first_steps():
  config = dataclasses.replace(CONFIG, init='random')
  task = pretraining.task('continued', small.encoder(), split(*texts()), OBJECTIVE, config, 0)
  start = modules.flat(task.model.encoder)
  state, parts = loop.start(task, jax.random.key(0))
  step = loop.make_step(task, parts.graphdef, None)
  # The rate of the very first is 0.
  for batch in itertools.islice(task.batches, 2):
    state, _ = step(state, batch, (parts.frozen, task.data))
  end = modules.flat(parts.merge(state.params, state.cache).encoder)
  same = {path[0] for path in start if np.array_equal(start[path], end[path])}
  assert not same


def test_the_hidden_tokens_of_held_out_texts_are_fixed():
  held_out = split(*texts())
  model = pretraining.task('frozen', small.encoder(), held_out, OBJECTIVE, CONFIG, 0).model
  first = held_out_losses(model, held_out)
  np.testing.assert_array_equal(held_out_losses(model, held_out), first)
  assert not np.array_equal(held_out_losses(model, held_out, seed=1), first)


def test_special_tokens_are_never_to_be_predicted(monkeypatch):
  """Tokens that are never targets give their loss no weight."""
  hidden = []
  real = modelling.mask_tokens

  def spy(*args, **kwargs):
    hidden.append(real(*args, **kwargs))
    return hidden[-1]

  monkeypatch.setattr(modelling, 'mask_tokens', spy)
  ids, mask = texts()
  half = modelling.objective(small.BERT, 0.5)
  for seed in range(5):
    key = jax.random.key(seed)
    half.losses(_uniform_model(), key, TextBatch(jnp.asarray(ids), jnp.asarray(mask)), None)
  for masked in hidden:
    chosen = np.asarray(masked.targets)[np.asarray(masked.weights) > 0]
    assert len(chosen) >= len(ids)
    assert not np.isin(chosen, SPECIAL).any()
    special = np.isin(ids, SPECIAL)
    np.testing.assert_array_equal(np.asarray(masked.token_ids)[special], ids[special])


def _uniform_model():
  """Logits without a model."""

  def model(batch, positions, rngs):
    return jnp.zeros((*positions.shape, V))

  model.encoder = types.SimpleNamespace(token=types.SimpleNamespace(num_embeddings=V))
  return model


def test_texts_are_held_out_or_trained_on():
  ids, mask = np.arange(100).reshape(50, 2), np.ones((50, 2), int)
  parts = split(ids, mask)
  held_out, train = parts.held_out[0][:, 0], parts.train.read(np.arange(34)).input_ids[:, 0]
  assert (len(held_out), parts.train.size) == (16, 34)
  assert sorted([*held_out, *train]) == list(range(0, 100, 2))
  few = split(ids[:5], mask[:5])
  assert (len(few.held_out[0]), few.train.size) == (2, 3)
  with pytest.raises(InputError, match='1 texts before the cut are too few'):
    split(ids[:1], mask[:1])
