"""Both variants start alike, are judged on the same hidden tokens, and resume."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.data import tokenizer
from rec_jax.stages.pretrain import stage as pretrain
from rec_jax.types import InputError
from tests.helpers import small
from tests.models import modules

V = small.VOCAB_SIZE
SPECIAL = (tokenizer.PAD_ID, tokenizer.CLS_ID, tokenizer.SEP_ID)


@pytest.fixture(scope='module')
def config(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pretrain, 'initial_encoder', small.encoder)
    yield small.config(tmp_path_factory.getbasetemp())


@pytest.fixture(scope='module')
def trained(config, tmp_path_factory):
  """variant -> held-out losses before and after, and the model."""
  split = pretrain._Texts.split(*texts(), config)
  directory = tmp_path_factory.mktemp('pretrain')
  return {
    variant: pretrain._train(variant, split, config, directory / variant)
    for variant in pretrain.VARIANTS
  }


def texts(number=40, length=8):
  """[CLS] words [SEP] padding."""
  rng = np.random.default_rng(0)
  ids = rng.integers(V - 20, V, (number, length)).astype(np.int32)
  ids[:, 0] = tokenizer.CLS_ID
  end = rng.integers(2, length, number)
  ids[np.arange(number), end] = tokenizer.SEP_ID
  ids[np.arange(length) > end[:, None]] = tokenizer.PAD_ID
  return ids, (ids != tokenizer.PAD_ID).astype(np.int32)


def test_the_arms_start_with_the_same_loss_and_part_by_training(trained):
  before, after, _ = zip(*trained.values(), strict=True)
  np.testing.assert_array_equal(*before)
  # With 40 texts of 20 words anything that learns improves in four steps.
  assert all(losses.mean() < before[0].mean() for losses in after)
  assert not np.array_equal(*after)


def test_only_the_continued_arm_changes_the_encoder(trained):
  start = modules.flat(small.encoder())
  for variant, (*_, model) in trained.items():
    end = modules.flat(model.encoder)
    changed = {path[0] for path in start if not np.array_equal(start[path], end[path])}
    # The embeddings are tied to the output and stay.
    assert changed == (set() if variant == 'frozen' else {'transformer'})


def test_the_hidden_tokens_of_held_out_texts_are_fixed(config):
  split = pretrain._Texts.split(*texts(), config)
  graphdef, frozen, _, state = pretrain._start('frozen', config)
  held_out = pretrain._held_out_loss(graphdef, frozen, split.held_out, config)
  first = held_out(state.params)
  np.testing.assert_array_equal(held_out(state.params), first)
  reseeded = dataclasses.replace(config, seed=1)
  other = pretrain._held_out_loss(graphdef, frozen, split.held_out, reseeded)
  assert not np.array_equal(other(state.params), first)


def test_special_tokens_are_never_to_be_predicted(config, monkeypatch):
  """Tokens that are never targets give their loss no weight."""
  hidden = []
  real = pretrain.mask_tokens

  def spy(*args, **kwargs):
    hidden.append(real(*args, **kwargs))
    return hidden[-1]

  monkeypatch.setattr(pretrain, 'mask_tokens', spy)
  ids, mask = texts()
  for seed in range(5):
    key = jax.random.key(seed)
    pretrain._token_losses(_uniform_model(), key, jnp.asarray(ids), jnp.asarray(mask), 0.5, None)
  for masked in hidden:
    chosen = np.asarray(masked.targets)[np.asarray(masked.weights) > 0]
    assert len(chosen) >= len(ids)
    assert not np.isin(chosen, SPECIAL).any()
    special = np.isin(ids, SPECIAL)
    np.testing.assert_array_equal(np.asarray(masked.token_ids)[special], ids[special])


def _uniform_model():
  """Logits without a model."""

  def model(token_ids, mask, positions, rngs):
    return jnp.zeros((*positions.shape, V))

  model.encoder = types.SimpleNamespace(token=types.SimpleNamespace(num_embeddings=V))
  return model


def test_texts_are_held_out_or_trained_on(config):
  ids, mask = np.arange(100).reshape(50, 2), np.ones((50, 2), int)
  split = pretrain._Texts.split(ids, mask, config)
  held_out, train = split.held_out[0][:, 0], split.train[0][:, 0]
  assert (len(held_out), len(train)) == (16, 34)
  assert sorted([*held_out, *train]) == list(range(0, 100, 2))
  few = pretrain._Texts.split(ids[:5], mask[:5], config)
  assert (len(few.held_out[0]), len(few.train[0])) == (2, 3)
  with pytest.raises(InputError, match='1 texts before the cut are too few'):
    pretrain._Texts.split(ids[:1], mask[:1], config)
