"""Untrained models of a small catalogue, with all that a recommender reads of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from flax import nnx

from rec_jax.bandits import item_prior
from rec_jax.data.feature_encoding import Widths
from rec_jax.data.tokenizer import Tokens
from rec_jax.models import encoding
from rec_jax.models.student import Student
from rec_jax.retrieval import Recommender, placement
from rec_jax.retrieval.catalogue import Attributes, Catalogue
from rec_jax.tasks import distillation, events, next_item, two_tower_model
from rec_jax.tasks.config import DistilConfig, FinetuneConfig
from rec_jax.types import ItemTable
from tests.helpers import small

LENGTH, RANK, NUM_COLD = 10, 4, 6
# Towers of the same sizes as the student's, so that what serves both is compiled once.
FINETUNE = FinetuneConfig(
  dim=8, num_heads=2, history_length=LENGTH, encoder_blocks=1, dropout_rate=0.0
)
DISTIL = DistilConfig(dim=8, token_dim=8, text_dim=8, num_heads=2)
KINDS = ('red', 'blue', 'green')
KNOWN_OF_USERS = pl.DataFrame({'town': [['Oslo'], ['Rome'], ['Oslo']], 'age': [20.0, 30.0, 46.0]})


def dataset(num_items=24):
  """Random events; the last items have none."""
  found = small.dataset(num_items=num_items)
  known = np.arange(num_items) < num_items - NUM_COLD
  split = dataclasses.replace(found.split, trained_items=known, cold_items=~known)
  ids = np.array([f'i{i}' for i in range(num_items)])
  text = np.array([f'Thing {i} ({1980 + i}). {KINDS[i % 3]}' for i in range(num_items)])
  return dataclasses.replace(found, split=split, items=ItemTable(ids, text))


def teacher(data, seed=0, widths=(0, 0), **changes):
  """Towers with a linear path and a trend, and new items behind the fifth place.

  New items have a prior by their text.
  """
  encoder, rng = small.encoder(), np.random.default_rng(seed)
  num_items, known = data.items.num_items, data.split.trained_items
  config = dataclasses.replace(FINETUNE, **changes)
  sizes = num_items, seed, RANK, Widths(*widths)
  model = next_item.new_model('teacher', encoder, config, *sizes)
  items = model.towers.items
  text = encoding.text_vectors(encoder, data.input_ids, data.attention_mask)
  items.fill(jnp.asarray(text), jnp.asarray(known), events.log_popularity(data))
  path = known[:, None] * rng.normal(size=(2, num_items, RANK))
  items.linear.given[...], items.linear.sought[...] = jnp.asarray(path, jnp.float32)
  items.linear.decay[...] = jnp.float32(0.8)
  items.place_unseen()
  items.trend[...] = jnp.asarray(known * rng.normal(size=num_items), jnp.float32)
  items.new.bias[...] = 0.5 + 0.5 * items.new_popularity()
  items.new.place[...] = jnp.int32(5)
  return nnx.view(model, deterministic=True)


def student(taught, data, seed=0):
  """One that has the teacher's linear path, trend and prior, and random weights else."""
  tokens = small.VOCAB_SIZE, DISTIL.token_dim
  made = distillation.new_student(
    DISTIL, data.items.num_items, tokens, data.input_ids.shape[1], LENGTH, RANK, seed
  )
  made.id.embedding[...] *= 40.0
  made.token.embedding[...] *= 40.0
  made.input_ids[...], made.mask[...] = map(jnp.asarray, (data.input_ids, data.attention_mask))
  made.has_id[...] = jnp.asarray(data.split.trained_items)
  made.linear = nnx.clone(taught.towers.items.linear)
  made.trend[...] = taught.towers.items.trend[...]
  made.new = nnx.clone(taught.towers.items.new)
  return nnx.view(made, deterministic=True)


def first_items(module, data, number):
  """The same model, of the first items alone."""

  def first(leaf):
    return leaf[:number] if leaf.ndim and len(leaf) == data.items.num_items else leaf

  graphdef, state = nnx.split(module)
  return nnx.merge(graphdef, jax.tree.map(first, state))


student_score = nnx.jit(distillation.score)


def score(model):
  """The function that scores the catalogue by such a model."""
  return student_score if isinstance(model, Student) else two_tower_model.compiled_score


def recommender(model, taught, data, number=None, **options):
  """Of a model; texts to add are those of the data set."""
  number = data.items.num_items if number is None else number
  text = data.items.text.tolist()

  def tokenize(texts):
    rows = [text.index(each) for each in texts]
    return Tokens(data.input_ids[rows], data.attention_mask[rows], 0)

  before = slice(data.split.num_before)
  event = data.interactions
  kept = event.item[before] < number
  prior = item_prior.of_events(
    event.item[before][kept], event.reward(4.0)[before][kept], event.num_users, number
  )
  items = ItemTable(data.items.ids[:number], data.items.text[:number])
  kinds = [(KINDS[i % 3],) for i in range(number)]
  attributes = Attributes(lambda: ['kind'], {'kind': kinds}.__getitem__)
  catalogue = Catalogue(items, prior.num_events, data.split.cold_items[:number], attributes)
  place = placement.place(model, lambda: taught, tokenize)
  return Recommender(model, catalogue, prior, LENGTH, 4, place, **options)
