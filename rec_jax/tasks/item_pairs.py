"""What users have chosen, as texts that belong together; of training events alone.

pairs: the item of an event, and that of the user's event before it.
next_item: the item of an event, and the items before it as one text, oldest first.
masked_item: the item of an event, and the items before and after it as one text in which a single
  mask token stands for it (Sun et al. 2019, 3.6, with texts for ids as Li et al. 2023 have them).
"""

import numpy as np

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.data.text_batches import PairBatch, TextBatch, TextSource
from rec_jax.tasks.config import PretrainConfig
from rec_jax.tasks.pretraining import Texts
from rec_jax.types import InputError

# What the item of an event is, in words, by objective.
KINDS = {
  'pairs': 'the next item of a user, by the one before it',
  'next_item': 'the next item of a user, by those before it',
  'masked_item': 'a hidden item of a user, by those around it',
}


def texts(dataset: Dataset, config: PretrainConfig, mask_id: int | None, seed: int) -> Texts:
  """The pairs of all training events that have another one of their user beside them.

  Those held out are of other users than those trained on.

  Args:
    dataset: whose training events they are.
    config: its objective is one of `KINDS`.
    mask_id: of the token that stands for a hidden item; needed by 'masked_item' alone.
    seed: of what is held out.

  Raises:
    InputError: fewer than two users have two training events, or there is no such token.
  """
  kind, history_items = config.objective, config.history_items
  if kind == 'masked_item' and mask_id is None:
    raise InputError(
      'pretrain.objective is "masked_item", but the tokenizer has no token that hides another; set '
      '--config.pretrain.objective=next_item'
    )
  chosen = splits.training_events(dataset.interactions, dataset.split)
  histories = splits.histories(dataset.interactions, chosen)
  user = np.repeat(np.arange(len(histories.lengths)), histories.lengths)
  before = 1 if kind == 'pairs' else history_items
  after = 0
  if kind == 'masked_item':
    before, after = -(-history_items // 2), history_items // 2
  place = np.arange(len(user))
  begin = np.maximum(histories.offsets[user], place - before)
  end = np.minimum(histories.offsets[user + 1], place + 1 + after)
  has_others = end - begin > 1 if kind == 'masked_item' else begin < place
  known = np.flatnonzero(has_others & ~_is_told(histories.items, begin, end))

  def read(index: np.ndarray) -> PairBatch:
    rows = []
    items = histories.items
    for event in known[index]:
      parts = [_tokens(dataset, item) for item in items[begin[event] : event]]
      if kind == 'masked_item':
        parts.append(np.array([mask_id], np.int32))
        parts += [_tokens(dataset, item) for item in items[event + 1 : end[event]]]
      rows.append(np.concatenate(parts))
    item = items[known[index]]
    other = TextBatch(dataset.input_ids[item], dataset.attention_mask[item])
    width = (1 if kind == 'pairs' else history_items) * dataset.input_ids.shape[1]
    width += kind == 'masked_item'
    return PairBatch(_padded(rows, width), other, item)

  is_apart = _users_apart(user[known], config.num_held_out, seed)
  train = np.flatnonzero(~is_apart)
  source = TextSource(len(train), lambda index: read(train[index]))
  # In any order: negatives of a batch are to be of many users.
  held_out = np.random.default_rng((seed, 4)).permutation(np.flatnonzero(is_apart))
  return Texts(source, read(held_out))


def _is_told(items: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
  """[E] bool, whether the item of an event is also that of another in its window [begin, end)."""
  place, told = np.arange(len(items)), np.zeros(len(items), bool)
  for shift in range(1, int((end - begin).max(initial=1))):
    for other in (place - shift, place + shift):
      inside = (other >= begin) & (other < end)
      told[inside] |= items[other[inside]] == items[inside]
  return told


def _users_apart(user: np.ndarray, num_held_out: int, seed: int) -> np.ndarray:
  """[n] bool, pairs of users at random who have so many together, but at most half of the users."""
  users, counts = np.unique(user, return_counts=True)
  if len(users) < 2:
    raise InputError(
      f'{len(users)} users with two training events are too few to learn from what they chose; set '
      '--config.pretrain.objective to language or contrastive'
    )
  order = np.random.default_rng((seed, 1)).permutation(len(users))
  num_users = 1 + np.searchsorted(np.cumsum(counts[order]), num_held_out)
  return np.isin(user, users[order[: min(num_users, len(users) // 2)]])


def _tokens(dataset: Dataset, item: int) -> np.ndarray:
  return dataset.input_ids[item][dataset.attention_mask[item] > 0]


def _padded(rows: list[np.ndarray], width: int) -> TextBatch:
  """Texts cut at W tokens."""
  ids, mask = np.zeros((2, len(rows), width), np.int32)
  for row, tokens in enumerate(rows):
    tokens = tokens[:width]
    ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
  return TextBatch(ids, mask)
