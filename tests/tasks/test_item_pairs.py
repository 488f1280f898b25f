"""Pairs of what users chose: of training events alone, in their order, users held out whole."""

import dataclasses

import numpy as np
import pytest

from rec_jax.data import splits
from rec_jax.tasks import item_pairs
from rec_jax.tasks.config import PretrainConfig
from rec_jax.types import InputError
from tests.helpers import small

MASK_ID = 103
SMALL = small.dataset()
# The tokens of item i are 1000 i, 1000 i + 1, ...
LENGTHS = SMALL.attention_mask.sum(1)
NUMBERED = dataclasses.replace(
  SMALL,
  input_ids=SMALL.attention_mask * (1000 * np.arange(len(LENGTHS))[:, None] + np.arange(8)),
)


def made(kind, history_items=3, num_held_out=20, dataset=NUMBERED):
  config = PretrainConfig(objective=kind, history_items=history_items, num_held_out=num_held_out)
  return item_pairs.texts(dataset, config, MASK_ID, 0)


def whole(kind, **options):
  """All pairs, those held out and those not: (items or None for the mask token, item)."""
  texts = made(kind, **options)
  train = texts.train.read(np.arange(texts.train.size))
  return [pair for batch in (train, texts.held_out) for pair in pairs(batch)]


def pairs(batch):
  for ids, mask, other, item in zip(
    batch.text.input_ids, batch.text.mask, batch.other.input_ids, batch.item, strict=True
  ):
    np.testing.assert_array_equal(other, NUMBERED.input_ids[item])
    read = []
    for token in ids[mask > 0]:
      if token == MASK_ID:
        read.append(None)
      elif token % 1000 == 0:
        read.append(int(token // 1000))
    yield read, int(item)


def expected(kind, history_items=3):
  """Event by event, from the definition."""
  chosen = splits.training_events(NUMBERED.interactions, NUMBERED.split)
  found = []
  for user in range(NUMBERED.interactions.num_users):
    items = NUMBERED.interactions.item[chosen & (NUMBERED.interactions.user == user)].tolist()
    for place, item in enumerate(items):
      if kind == 'masked_item':
        before, after = items[max(0, place - 2) : place], items[place + 1 : place + 2]
        if before or after:
          found.append(([*before, None, *after], item))
      elif place:
        size = 1 if kind == 'pairs' else history_items
        found.append((items[max(0, place - size) : place], item))
  return found


@pytest.mark.parametrize('kind', item_pairs.KINDS)
def test_every_training_event_is_the_end_of_a_pair(kind):
  assert sorted(whole(kind), key=str) == sorted(expected(kind), key=str)


@pytest.mark.parametrize('kind', item_pairs.KINDS)
def test_nothing_of_the_events_to_predict_is_learnt(kind):
  """Other held-out events and all that comes after the cut change no pair."""
  interactions, split = NUMBERED.interactions, NUMBERED.split
  item = interactions.item.copy()
  item[~split.train_mask] = (item[~split.train_mask] + 7) % len(LENGTHS)
  assert (item != interactions.item).any()
  changed = dataclasses.replace(NUMBERED, interactions=dataclasses.replace(interactions, item=item))
  assert whole(kind, dataset=changed) == whole(kind)


def test_users_are_held_out_whole_and_at_most_half():
  for num_held_out in (5, 20, 10_000):
    texts = made('pairs', num_held_out=num_held_out)
    total = texts.train.size + len(texts.held_out.item)
    assert total == len(expected('pairs'))
    assert len(texts.held_out.item) >= min(num_held_out, 0.3 * total)
    assert texts.train.size > 0.3 * total


def test_texts_are_cut_at_their_width():
  batch = made('masked_item', history_items=2).held_out
  # The mask token stands beside the texts.
  assert batch.text.input_ids.shape[1] == 2 * NUMBERED.input_ids.shape[1] + 1
  assert batch.other.input_ids.shape[1] == NUMBERED.input_ids.shape[1]


def test_a_mask_stands_behind_the_longest_text():
  assert max(LENGTHS) == NUMBERED.input_ids.shape[1]
  batch = made('masked_item', history_items=1).held_out
  np.testing.assert_array_equal((batch.text.input_ids == MASK_ID).sum(1), 1)
  assert batch.text.mask.sum(1).max() == NUMBERED.input_ids.shape[1] + 1


def test_what_cannot_be_is_told():
  with pytest.raises(InputError, match='no token that hides another'):
    item_pairs.texts(NUMBERED, PretrainConfig(objective='masked_item'), None, 0)
  lonely = splits.thin(NUMBERED.interactions, NUMBERED.split, 1e-9, 0)
  with pytest.raises(InputError, match='users with two training events are too few'):
    made('pairs', dataset=dataclasses.replace(NUMBERED, split=lonely))


@pytest.mark.parametrize('kind', ['pairs', 'next_item', 'masked_item'])
def test_an_item_is_not_told_by_its_own_text(kind):
  """Where events repeat, an item may stand among those that are to tell it."""
  log = NUMBERED.interactions
  again = dataclasses.replace(log, item=np.where(log.item % 3 == 0, 0, log.item).astype(np.int32))
  assert again.has_repeats
  found = whole(kind, dataset=dataclasses.replace(NUMBERED, interactions=again))
  assert len(found) > 50
  assert not any(item in read for read, item in found)
