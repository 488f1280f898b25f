"""A small data set whose truth is known, and its way through data, splits and tokens.

Every user prefers some topics, which the texts tell; every item has a quality, which no text tells;
and after an item of one chapter the user goes on with the next chapter, which neither text nor id
tells, but the order of events. Some items are released at the cut: nothing but their text is known.
"""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from rec_jax.data import builder, splits, tokenizer
from rec_jax.data.config import DataConfig
from rec_jax.data.dataset import Dataset
from rec_jax.data.tables import read_tables
from tests.helpers import small

CUT = 0.7
# [CLS], three words of the topic, up to three fillers, [SEP]: what the small encoder can read.
TEXT_LENGTH = 8
TOPICS = (
  ('galaxy', 'rocket', 'planet', 'orbit', 'comet'),
  ('battle', 'soldier', 'army', 'tank', 'general'),
  ('kiss', 'wedding', 'heart', 'bride', 'romance'),
  ('murder', 'detective', 'police', 'crime', 'thief'),
  ('goal', 'football', 'coach', 'team', 'league'),
  ('ghost', 'vampire', 'curse', 'grave', 'witch'),
)
FILLERS = ('old', 'new', 'small', 'large', 'red', 'blue', 'green', 'quiet', 'first', 'last')
NUM_CHAPTERS = 6
NUM_LIKED = 2
# Log odds that an item of after the cut gains by being new, and those of a hit.
NOVELTY = 1.5
HIT = 6.0


@dataclasses.dataclass(frozen=True)
class Taste:
  """What choices depend on: the log odds that each preference adds, 0 where there is none.

  Attributes:
    topic: an item of a topic that the user prefers.
    quality: an item whose quality is one standard deviation higher.
    chapter: an item of the chapter that follows the last one.
  """

  topic: float = 3.0
  quality: float = 0.8
  chapter: float = 2.5


@dataclasses.dataclass(frozen=True)
class World:
  """The planted truth over U users and N items, and the events drawn from it.

  Attributes:
    topic: [N] int, which `TOPICS` the text of an item is made of.
    quality: [N] float, standard normal.
    chapter: [N] int in [0, NUM_CHAPTERS).
    is_cold: [N] bool, released at the cut.
    likes: [U, topics] bool, the topics that each user prefers.
    text: [N] strings.
    events: columns user_id, item_id, timestamp.
    hit: a cold item that nearly all users choose once it is there, -1 if there is none.
  """

  topic: np.ndarray
  quality: np.ndarray
  chapter: np.ndarray
  is_cold: np.ndarray
  likes: np.ndarray
  text: list[str]
  events: pl.DataFrame
  hit: int

  def follows(self, last: np.ndarray) -> np.ndarray:
    """[Q, N] bool, the items of the chapter after that of the items `last` [Q]."""
    return self.chapter == (self.chapter[last][:, None] + 1) % NUM_CHAPTERS


def make(
  seed: int,
  taste: Taste = Taste(),
  num_users: int = 120,
  num_items: int = 120,
  length: int = 30,
  hit: bool = False,
) -> World:
  """Draws a world; everything depends on the arguments alone.

  Args:
    seed: of all draws.
    taste: what choices depend on.
    num_users: U.
    num_items: N; a fifth of each topic is released at the cut.
    length: events of each user, a share `CUT` of them before the cut.
    hit: whether one of the cold items is a hit.
  """
  rng = np.random.default_rng(seed)
  topic = np.arange(num_items) % len(TOPICS)
  is_cold = np.arange(num_items) >= num_items * 4 // 5
  quality, chapter = rng.normal(size=num_items), rng.integers(NUM_CHAPTERS, size=num_items)
  likes = np.argsort(rng.random((num_users, len(TOPICS))), axis=1) < NUM_LIKED
  early = taste.topic * likes[:, topic] + taste.quality * quality
  late = early + NOVELTY * is_cold
  early[:, is_cold] = -np.inf
  hit_item = num_items - 1 if hit else -1
  if hit:
    late[:, hit_item] = HIT
  rows = []
  for user in range(num_users):
    chosen: list[int] = []
    for step in range(length):
      logits = (early if step < round(CUT * length) else late)[user].copy()
      if chosen:
        logits += taste.chapter * (chapter == (chapter[chosen[-1]] + 1) % NUM_CHAPTERS)
        logits[chosen] = -np.inf
      odds = np.exp(logits - logits.max())
      chosen.append(int(rng.choice(num_items, p=odds / odds.sum())))
      # All users take a step before anyone takes the next one, so that the cut lies between two.
      rows.append((user, chosen[-1], 1_000_000_000 + 1000 * step + int(rng.integers(1000))))
  events = pl.DataFrame(rows, schema=['user_id', 'item_id', 'timestamp'], orient='row')
  text = [_text(rng, number) for number in topic]
  return World(topic, quality, chapter, is_cold, likes, text, events, hit_item)


def write_tables(world: World, directory: Path) -> DataConfig:
  """Writes events.csv and items.csv and returns the settings that read them."""
  config = DataConfig(
    source='tables',
    interactions=str(directory / 'events.csv'),
    items=str(directory / 'items.csv'),
    text_length=TEXT_LENGTH,
    cut=CUT,
  )
  world.events.write_csv(config.interactions)
  items = pl.DataFrame({'item_id': range(len(world.text)), 'title': world.text})
  items.write_csv(config.items)
  return config


def dataset(world: World, directory: Path, tokenizer_path: Path | None = None) -> Dataset:
  """The world as the stages see it.

  Args:
    world: from `make`.
    directory: gets the tables and the prepared data.
    tokenizer_path: a `tokenizer.json`; without one the words of the world are the vocabulary,
      which is small enough for `small.encoder`.
  """
  config = write_tables(world, directory)
  builder.write(read_tables(config), directory / 'dataset')
  interactions, items = builder.read(directory / 'dataset')
  split = splits.split(interactions, items.num_items, config.cut, config.min_events)
  path = tokenizer_path or _write_tokenizer(directory / 'tokenizer.json')
  ids, mask, _ = tokenizer.encode(path, items.text.tolist(), config.text_length)
  known = ~split.cold_items
  return Dataset('planted', interactions, items, split, ids, mask, ids[known], mask[known], '', {})


def _text(rng: np.random.Generator, topic: int) -> str:
  words = [*rng.choice(TOPICS[topic], 3, replace=False)]
  words += [*rng.choice(FILLERS, rng.integers(1, 4), replace=False)]
  return ' '.join(rng.permutation(words))


def _write_tokenizer(path: Path) -> Path:
  """Whole words from the first free number on, and the special tokens where BERT has them."""
  words = [word for words in (*TOPICS, FILLERS) for word in words]
  vocabulary = {
    '[PAD]': small.BERT.pad,
    '[CLS]': small.BERT.frame[0],
    '[SEP]': small.BERT.frame[1],
    '[MASK]': small.BERT.mask,
  } | {word: small.BERT.mask + 1 + i for i, word in enumerate(words)}
  made = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token='[MASK]'))
  made.pre_tokenizer = pre_tokenizers.Whitespace()
  made.post_processor = processors.TemplateProcessing(
    single='[CLS] $A [SEP]',
    special_tokens=list(zip(('[CLS]', '[SEP]'), small.BERT.frame, strict=True)),
  )
  made.save(str(path))
  return path
