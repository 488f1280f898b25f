"""Small made-up tables and a run on them that takes seconds."""

import types

import numpy as np
import polars as pl
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.config import DataConfig
from rec_jax.data.dataset import Dataset
from rec_jax.data.tokenizer import Vocabulary
from rec_jax.models.config import TextEncoderConfig, TransformerConfig
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs.config import (
  Config,
  DistilConfig,
  ExploreConfig,
  FinetuneConfig,
  PretrainConfig,
)
from rec_jax.stages.explore import worlds
from rec_jax.types import Interactions, ItemTable

VOCAB_SIZE = 200
# The special tokens of all-MiniLM-L6-v2.
BERT = Vocabulary(size=30_522, pad=0, mask=103, frame=(101, 102))
_WORDS = ('red', 'blue', 'green', 'old', 'new', 'small', 'large', 'quiet')


def write_tables(directory, num_users=60, num_items=60, num_events=1800, ratings=True, seed=0):
  """Writes events.csv and items.csv; users like items near to themselves on a circle."""
  rng = np.random.default_rng(seed)
  pairs = rng.choice(num_users * num_items, num_events, replace=False)
  user, item = pairs // num_items, pairs % num_items
  angle = 2 * np.pi * (user / num_users - item / num_items)
  events = {'user_id': user, 'item_id': item, 'timestamp': rng.permutation(num_events)}
  if ratings:
    events['rating'] = np.clip(np.round(3 + 1.5 * np.cos(angle) + rng.normal(size=len(user))), 1, 5)
  pl.DataFrame(events).write_csv(directory / 'events.csv')
  title = [' '.join(rng.choice(_WORDS, 3)) + f' thing {i}' for i in range(num_items)]
  pl.DataFrame({'item_id': range(num_items), 'title': title}).write_csv(directory / 'items.csv')


def config(directory, **data):
  """The smallest run on these tables."""
  return Config(
    data=DataConfig(
      source='tables',
      interactions=str(directory / 'events.csv'),
      items=str(directory / 'items.csv'),
      text_length=8,
      **data,
    ),
    pretrain=PretrainConfig(num_steps=4, batch_size=8, num_held_out=16),
    finetune=FinetuneConfig(
      dim=8,
      num_heads=2,
      history_length=10,
      num_steps=12,
      batch_size=8,
      num_predictions=40,
      validate_every=4,
      encoder_blocks=1,
      encoder_start=4,
      encoder_steps=4,
      encoder_items=16,
    ),
    distil=DistilConfig(
      dim=8,
      token_dim=8,
      text_dim=8,
      num_heads=2,
      num_steps=8,
      batch_size=8,
      num_texts=16,
      validate_every=4,
    ),
    explore=ExploreConfig(
      num_seeds=2,
      frontier_seeds=1,
      num_features=4,
      history_length=10,
      min_events_catalogue=6,
      min_events_rated=4,
      max_visitors=30,
      tuning_visitors=15,
      payoff_seeds=2,
    ),
  )


def encoder(*_, vocab_size=VOCAB_SIZE, hidden_dim=8, max_length=8, num_layers=2):
  """Takes the place of the published one, at a thousandth of its cost."""
  sizes = {'hidden_dim': hidden_dim, 'mlp_dim': 2 * hidden_dim}
  blocks = TransformerConfig(num_layers=num_layers, num_heads=2, **sizes)
  sizes = TextEncoderConfig(vocab_size=vocab_size, max_length=max_length, transformer=blocks)
  return TextEncoder(sizes, rngs=nnx.Rngs(0))


def rated(num_users=40, num_items=30, num_events=900):
  """A world on rated candidates with random ratings, and the ids of its users and items."""
  rng = np.random.default_rng(0)
  pairs = rng.choice(num_users * num_items, num_events, replace=False)
  interactions = Interactions(
    user=(pairs // num_items).astype(np.int32),
    item=(pairs % num_items).astype(np.int32),
    timestamp=np.arange(num_events),
    rating=rng.integers(1, 6, num_events).astype(np.float32),
    user_ids=np.array([f'u{i}' for i in range(num_users)]),
  )
  features = rng.normal(size=(num_items, 2)).astype(np.float32)
  world = worlds.build(
    worlds.RATED,
    interactions,
    num_events // 3,
    num_items,
    features,
    4.0,
    num_users,
    ExploreConfig(min_events_rated=4),
    0,
  )
  ids = np.array([f'i{i}' for i in range(num_items)])
  return world, types.SimpleNamespace(
    interactions=interactions, items=types.SimpleNamespace(ids=ids)
  )


def dataset(num_users=20, num_items=24, num_events=300, text_length=8):
  """What `prepare.load` gives, without files: random ratings and random tokens."""
  rng = np.random.default_rng(0)
  pairs = rng.choice(num_users * num_items, num_events, replace=False)
  interactions = Interactions(
    user=(pairs // num_items).astype(np.int32),
    item=(pairs % num_items).astype(np.int32),
    timestamp=np.arange(num_events),
    rating=rng.integers(1, 6, num_events).astype(np.float32),
    user_ids=np.arange(num_users).astype(str),
  )
  ids = rng.integers(104, VOCAB_SIZE, (num_items, text_length)).astype(np.int32)
  mask = (np.arange(text_length) < rng.integers(3, text_length + 1, (num_items, 1))).astype(
    np.int32
  )
  return Dataset(
    name='random',
    interactions=interactions,
    items=ItemTable(np.arange(num_items).astype(str), np.full(num_items, 'text')),
    split=splits.split(interactions, num_items, 0.7, 5),
    input_ids=ids * mask,
    attention_mask=mask,
    corpus_ids=ids * mask,
    corpus_mask=mask,
    fingerprint='',
    notes={},
  )
