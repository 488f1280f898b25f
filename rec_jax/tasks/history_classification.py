"""Classification of histories, and of the events in them, by the two towers and a head.

buys: a class a sequence, the history of a user up to a time: will another event come within a
  horizon? Learnt at times whose horizon ends before the cut, judged at the cut.
likes: a class a token, an event of a history: does the user like the item? Told before the reward
  is seen. Learnt from the training events, judged on events from the cut on.
"""

import dataclasses

import jax
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.data.splits import Histories, gather_times, gather_windows
from rec_jax.models import encoding
from rec_jax.models.classifiers import EventClassifier, HistoryClassifier
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import events, item_to_item, next_item
from rec_jax.tasks.classification import Examples, Problem, hold_out
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.types import InputError

BUYS, LIKES = ('will not buy', 'will buy'), ('not liked', 'liked')
# Times before the cut at which `buys` learns; the seconds of a day.
_NUM_TIMES, _DAY = 8, 86_400


def buys(
  encoder: TextEncoder,
  dataset: Dataset,
  config: FinetuneConfig,
  positive_rating: float,
  seed: int,
) -> Problem:
  """Whether users have an event within a horizon, told from their history.

  The horizon is the time from the cut on, or half of that before it if that is less, so that some
  is left to learn at. Beside the user vector, which knows the order of events but no times, stand
  how long ago the last one was and how many there were.

  Args:
    encoder: of the stage `pretrain`; it stays as it is.
    dataset: of the stage `prepare`.
    config: of the towers.
    positive_rating: ratings from here on are liked.
    seed: of the model and of what is held out.

  Raises:
    InputError: the times leave no horizon, or all users come back, or none does.
  """
  time, num_before = dataset.interactions.timestamp, dataset.split.num_before
  first, cut, last = (int(time[event]) for event in (0, num_before, -1))
  horizon = min(last + 1 - cut, (cut - first) // 2)
  if horizon < 1:
    raise InputError(
      f'the {num_before} events before the cut have one time: nothing says when users come back'
    )
  times = np.unique(np.linspace((first + cut - horizon) / 2, cut - horizon, _NUM_TIMES, dtype=int))

  def at(time: int) -> Examples:
    return _at(dataset, config.history_length, positive_rating, time, horizon)

  parts = [at(int(time)) for time in times]
  learnt = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
  train, held_out = hold_out(_of_both(learnt, BUYS), seed)
  towers, rngs = _towers(encoder, dataset, config, seed), nnx.Rngs(seed)
  model = HistoryClassifier(towers, learnt.inputs[-1], len(BUYS), rngs=rngs)
  return Problem(
    classes=BUYS,
    exclusive=True,
    model=model,
    trainable=nnx.Param,
    train=train,
    held_out=held_out,
    test=at(cut),
    protocol=f'users with an event before the cut; an event in the {horizon / _DAY:.3g} days after',
  )


def likes(
  encoder: TextEncoder,
  dataset: Dataset,
  config: FinetuneConfig,
  positive_rating: float,
  seed: int,
) -> Problem:
  """Whether users like the items of their events, told from what they did before; as `buys`.

  Raises:
    InputError: there are no ratings, or all that are learnt from are liked, or none is.
  """
  interactions, split = dataset.interactions, dataset.split
  if interactions.rating is None:
    raise InputError('the events have no ratings: nothing says which items were liked')
  length, reward = config.history_length + 1, interactions.reward(positive_rating)
  past = splits.histories(interactions, splits.training_events(interactions, split))
  number = -(-past.lengths // length)
  user = np.repeat(np.arange(len(number)), number)
  place = np.arange(len(user)) - np.repeat(np.cumsum(number) - number, number)
  start = past.offsets[user] + place * length
  time = interactions.timestamp
  learnt = _windows(past, reward, time, user, start, start, length)
  train, held_out = hold_out(_of_both(learnt, LIKES), seed)
  every = splits.histories(interactions, np.ones(interactions.num_events, bool))
  before = np.bincount(interactions.user[: split.num_before], minlength=interactions.num_users)
  user = np.flatnonzero(every.lengths > before)
  first = every.offsets[user] + before[user]
  # Half of a window is history, where there is as much.
  start = np.maximum(every.offsets[user], first - length // 2)
  towers, rngs = _towers(encoder, dataset, config, seed), nnx.Rngs(seed)
  return Problem(
    classes=LIKES,
    exclusive=True,
    model=EventClassifier(towers, len(LIKES), rngs=rngs),
    trainable=nnx.Param,
    train=train,
    held_out=held_out,
    test=_windows(every, reward, time, user, start, first, length),
    protocol=(
      f'ratings from {positive_rating:g} on; the first events of each user from the cut on, in one '
      f'window of {length}, half of which are the events before'
    ),
  )


def _of_both(examples: Examples, classes: tuple[str, str]) -> Examples:
  """The same, once it is sure that there are both classes."""
  count = examples.labels[examples.weights > 0].sum(0)
  if not count.all():
    raise InputError(
      f'all {count.sum():.0f} examples before the cut are "{classes[count.argmax()]}": there is '
      'nothing to tell apart'
    )
  return examples


def _towers(encoder: TextEncoder, dataset: Dataset, config: FinetuneConfig, seed: int) -> TwoTower:
  """Towers as they are before fine-tuning, on an encoder at rest."""
  settings = dataclasses.replace(config, encoder_method='frozen', linear_rank=0)
  towers = next_item.new_model('teacher', encoder, settings, dataset.items.num_items, seed).towers
  text = encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)
  items = towers.items
  events.fill(items, dataset, text)
  start = item_to_item.spectrum(dataset, settings, seed).start(config.dim, seed)
  items.id.embedding[...] = start  # type: ignore[union-attr]
  items.place_unseen()
  return towers


def _at(dataset: Dataset, length: int, positive_rating: float, time: int, horizon: int) -> Examples:
  """Users with an event before a time, and whether one comes within the horizon from it on."""
  interactions = dataset.interactions
  begin, end = np.searchsorted(interactions.timestamp, (time, time + horizon))
  past = splits.histories(interactions, np.arange(interactions.num_events) < begin)
  user = np.flatnonzero(past.lengths)
  stop = past.offsets[user + 1]
  start = np.maximum(past.offsets[user], stop - length)
  age = time - interactions.timestamp[past.events[stop - 1]]
  comes = np.isin(user, interactions.user[begin:end])
  return Examples(
    inputs=(
      gather_windows(past.items, start, stop, length),
      _rewards(past, interactions.reward(positive_rating), start, stop, length),
      gather_times(interactions.timestamp[past.events], start, stop, length),
      np.log1p(np.stack([age, past.lengths[user]], axis=1)).astype(np.float32),
    ),
    labels=_one_hot(comes),
    weights=np.ones(len(user), np.float32),
    units=user,
  )


def _windows(
  past: Histories,
  reward: np.ndarray,
  time: np.ndarray,
  user: np.ndarray,
  start: np.ndarray,
  first: np.ndarray,
  length: int,
) -> Examples:
  """Windows of the histories of users [n] from `start` [n] on, judged from `first` [n] on."""
  end = np.minimum(start + length, past.offsets[user + 1])
  items = gather_windows(past.items, start, end, length)
  rewards = _rewards(past, reward, start, end, length)
  is_judged = (items > 0) & (start[:, None] + np.arange(length) >= first[:, None])
  times = gather_times(time[past.events], start, end, length)
  inputs = items, rewards, times
  return Examples(inputs, _one_hot(rewards > 0), is_judged.astype(np.float32), user)


def _rewards(
  past: Histories, reward: np.ndarray, start: np.ndarray, end: np.ndarray, length: int
) -> np.ndarray:
  """[n, L] int32 of windows, 1 where the user liked the item."""
  liked = reward[past.events].astype(np.int32)
  return np.maximum(gather_windows(liked, start, end, length) - 1, 0)


def _one_hot(is_second: np.ndarray) -> np.ndarray:
  return np.stack([~is_second, is_second], axis=-1).astype(np.float32)
