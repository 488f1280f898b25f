"""Classes of sequences and tokens: losses by hand, what is learnt from and judged, no leak, and
that planted classes are found."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from flax import nnx
from jax.test_util import check_grads

from rec_jax.data import splits, tokenizer
from rec_jax.data.config import DataConfig
from rec_jax.evaluation import classification as judgement
from rec_jax.tasks import (
  catalogue_text,
  classification,
  history_classification,
  text_classification,
  text_encoders,
)
from rec_jax.tasks.classification import Examples, Problem
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import loop
from rec_jax.types import InputError
from tests.helpers import small
from tests.planted import world

CONFIG = FinetuneConfig(
  dim=8,
  num_heads=2,
  history_length=10,
  dropout_rate=0.0,
  num_steps=60,
  batch_size=16,
  learning_rate=2e-2,
  ema_decay=0.9,
  validate_every=30,
  encoder_blocks=1,
)


def learnt(problem, directory, balanced=True):
  """The model, and what it tells of the examples to be judged."""
  task = classification.task(problem, CONFIG, balanced, 0)
  state, parts = loop.train(task, directory, jax.random.key(0), {})
  model = parts.merge(*state.best)
  return classification.decide(classification.logits(model, problem.test), problem.exclusive)


def gain(problem, told):
  shown = problem.test.weights > 0
  actual = problem.test.labels[shown] > 0
  frequent = np.broadcast_to(classification.most_frequent(problem), actual.shape)
  units = np.broadcast_to(problem.test.units.reshape(-1, *[1] * (shown.ndim - 1)), shown.shape)
  return judgement.gain(jax.random.key(0), told[shown], frequent, actual, units[shown])


def test_exclusive_labels_have_the_cross_entropy_of_a_softmax():
  rng = np.random.default_rng(0)
  logits, target = rng.normal(size=(3, 4, 5)), rng.integers(0, 5, (3, 4))
  weights = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
  labels = np.eye(5)[target]
  odds = np.exp(logits)
  expected = -np.log((odds * labels).sum(-1) / odds.sum(-1))
  found, counted = classification.label_losses(logits, labels, True, weights)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  np.testing.assert_array_equal(counted, weights[target])
  loss = jax.jit(lambda x: classification.label_losses(x, labels, True, weights)[0])
  check_grads(loss, (logits,), order=1, modes=('rev',), eps=1e-2)


def test_other_labels_have_the_sum_of_binary_ones():
  rng = np.random.default_rng(0)
  logits, labels = rng.normal(size=(3, 5)), rng.integers(0, 2, (3, 5)).astype(float)
  weights, p = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 1 / (1 + np.exp(-logits))
  likelihood = weights * labels * np.log(p) + (1 - labels) * np.log(1 - p)
  found, counted = classification.label_losses(logits, labels, False, weights)
  np.testing.assert_allclose(found, -likelihood.sum(-1), rtol=1e-5)
  np.testing.assert_array_equal(counted, np.ones(3))


@pytest.mark.parametrize('exclusive', [True, False])
def test_with_class_weights_all_classes_have_the_same_part(exclusive):
  rng = np.random.default_rng(0)
  # The third class never holds; the last row is padding.
  labels = np.eye(4)[rng.choice([0, 1, 3], 101, p=[0.7, 0.2, 0.1])]
  shown = np.append(np.ones(100), 0.0)
  part = Examples((), labels, shown, np.arange(101))
  problem = Problem(tuple('abcd'), exclusive, None, nnx.Param, part, part, part, '')
  weight, held = classification.class_weights(problem), labels[:100].sum(0)
  if exclusive:
    np.testing.assert_allclose((weight * held)[[0, 1, 3]], 100 / 4, rtol=1e-6)
  else:
    np.testing.assert_allclose((weight * held)[[0, 1, 3]], (100 - held)[[0, 1, 3]], rtol=1e-6)
  assert weight[2] == 1
  np.testing.assert_array_equal(classification.most_frequent(problem), [True, False, False, False])


def test_a_decision_is_for_one_class_or_for_each():
  logits = np.array([[[-3.0, -1.0, -2.0], [0.5, 2.0, -1.0]]])
  exclusive = [[[False, True, False], [False, True, False]]]
  apart = [[[False, False, False], [True, True, False]]]
  np.testing.assert_array_equal(classification.decide(logits, True), exclusive)
  np.testing.assert_array_equal(classification.decide(logits, False), apart)


@pytest.fixture(scope='module')
def setting():
  return types.SimpleNamespace(data=small.dataset(), encoder=small.encoder())


@pytest.fixture(scope='module')
def liked(setting):
  return history_classification.likes(setting.encoder, setting.data, CONFIG, 4.0, 0)


def test_events_are_learnt_from_before_the_cut_and_judged_after_it(setting, liked):
  """Each training event once, and of each user the first events from the cut on."""
  interactions, split = setting.data.interactions, setting.data.split
  reward = interactions.reward(4.0)

  def pairs(events):
    return {(int(interactions.user[e]), int(interactions.item[e]), bool(reward[e])) for e in events}

  def told(*parts):
    found = []
    for part in parts:
      for row, place in np.argwhere(part.weights > 0):
        item, label = part.inputs[0][row, place] - 1, part.labels[row, place]
        assert label.sum() == 1
        found.append((int(part.units[row]), int(item), bool(label[1])))
    assert len(found) == len(set(found))
    return set(found)

  learnt_from = told(liked.train, liked.held_out)
  assert learnt_from == pairs(np.flatnonzero(split.train_mask))
  assert not set(liked.train.units) & set(liked.held_out.units)
  late = np.arange(interactions.num_events) >= split.num_before
  past = splits.histories(interactions, late)
  length, expected = CONFIG.history_length + 1, []
  for user in range(interactions.num_users):
    before = int((interactions.user[: split.num_before] == user).sum())
    own = past.events[past.offsets[user] : past.offsets[user + 1]]
    expected += own[: length - min(before, length // 2)].tolist()
  assert told(liked.test) == pairs(expected)


def test_an_event_is_told_from_what_was_before_it(liked):
  """Neither its own reward nor what follows changes its logits; its item and earlier ones do."""
  model = nnx.view(liked.model, deterministic=True)
  items, rewards, times = (each[:1] for each in liked.train.inputs)
  place = 4
  assert items[0, place + 1] > 0

  @nnx.jit
  def of(model, items, rewards):
    return model(items, rewards, times)[0, place]

  def moved(changed_items=None, changed_reward=None):
    one, other = items.copy(), rewards.copy()
    if changed_items is not None:
      one[0, changed_items] = one[0, changed_items] % 24 + 1
    if changed_reward is not None:
      other[0, changed_reward] = 1 - other[0, changed_reward]
    return float(jnp.abs(of(model, one, other) - of(model, items, rewards)).max())

  assert moved(changed_reward=place) == moved(changed_reward=place + 1) == 0
  assert moved(changed_items=place + 1) == 0
  assert min(moved(changed_items=place), moved(changed_items=place - 1)) > 1e-4
  assert moved(changed_reward=place - 1) > 1e-6


@pytest.fixture(scope='module')
def returning():
  """Of 60 users every other one has events all the time, the others at one time alone."""
  rng, time = np.random.default_rng(0), []
  for user in range(60):
    begin = rng.integers(0, 900)
    time.append(rng.integers(0, 1000, 12) if user % 2 else begin + rng.integers(0, 50, 12))
  time, user = np.concatenate(time), np.repeat(np.arange(60), 12)
  item = np.concatenate([rng.permutation(24)[:12] for _ in range(60)])
  order = np.argsort(time, kind='stable')
  data = small.dataset()
  interactions = dataclasses.replace(
    data.interactions,
    user=user[order].astype(np.int32),
    item=item[order].astype(np.int32),
    timestamp=time[order],
    rating=None,
    user_ids=np.arange(60).astype(str),
  )
  split = splits.split(interactions, 24, 0.7, 3)
  return dataclasses.replace(data, interactions=interactions, split=split)


@pytest.fixture(scope='module')
def bought(setting, returning):
  return history_classification.buys(setting.encoder, returning, CONFIG, 4.0, 0)


def test_users_are_told_at_times_whose_horizon_ends_before_the_cut(returning, bought):
  """Against a loop over users and times."""
  interactions = returning.interactions
  stamp = interactions.timestamp
  first, cut = int(stamp[0]), int(stamp[returning.split.num_before])
  horizon = int(stamp[-1]) + 1 - cut
  assert horizon < (cut - first) / 2 and f'{horizon / 86_400:.3g} days' in bought.protocol

  def at(time):
    rows = []
    for user in range(interactions.num_users):
      own = np.flatnonzero((interactions.user == user) & (stamp < time))
      if len(own):
        in_window = (stamp >= time) & (stamp < time + horizon)
        comes = bool((interactions.user[in_window] == user).any())
        items = (interactions.item[own][-10:] + 1).tolist()
        rows.append((user, items, comes, int(time - stamp[own[-1]])))
    return rows

  def rows_of(part):
    for row, user in enumerate(part.units):
      history = part.inputs[0][row]
      age = round(float(np.expm1(part.inputs[3][row, 0])))
      yield int(user), history[history > 0].tolist(), bool(part.labels[row, 1]), age

  assert list(rows_of(bought.test)) == at(cut)
  times = np.linspace((first + cut - horizon) / 2, cut - horizon, 8, dtype=int)
  learnt_at = [row for time in times for row in at(time)]
  both = [*rows_of(bought.train), *rows_of(bought.held_out)]
  assert sorted(map(str, both)) == sorted(map(str, learnt_at))
  assert not set(bought.train.units) & set(bought.held_out.units)


@pytest.mark.soak
def test_planted_returns_are_found(bought, tmp_path):
  found = gain(bought, learnt(bought, tmp_path))
  assert found[judgement.MACRO].low > 0.1, found


def test_planted_likes_are_found(setting, tmp_path):
  """Of odd items and even users: the one is told by the id, the other by the history alone."""
  data = small.dataset(num_users=40, num_items=24, num_events=700)
  of = data.interactions
  rating = np.where((of.user % 2 == 0) & (of.item % 2 == 1), 5.0, 1.0).astype(np.float32)
  data = dataclasses.replace(data, interactions=dataclasses.replace(of, rating=rating))
  problem = history_classification.likes(setting.encoder, data, CONFIG, 4.0, 0)
  found = gain(problem, learnt(problem, tmp_path))
  assert found[judgement.MACRO].low > 0.1, found


@pytest.fixture(scope='module')
def newspaper(tmp_path_factory):
  """A planted world whose items have a topic, which their title tells, in a column of its own."""
  directory = tmp_path_factory.mktemp('newspaper')
  truth = world.make(0, num_users=30)
  data = world.dataset(truth, directory)
  topics = [world.TOPICS[number][0].upper() for number in truth.topic]
  # Of its two moods an item may have both.
  moods = [
    [mood for mood, holds in (('loud', number < 4), ('dark', number > 1)) if holds]
    for number in truth.topic
  ]
  items = pl.DataFrame(
    {'item_id': range(len(topics)), 'title': truth.text, 'topic': topics, 'moods': moods}
  )
  items.write_parquet(directory / 'labelled.parquet')
  settings = DataConfig(source='tables', items=str(directory / 'labelled.parquet'))
  read = types.SimpleNamespace(seen=[])

  def encode(data, texts):
    del data
    read.seen = list(texts)
    return tokenizer.encode(directory / 'tokenizer.json', texts, world.TEXT_LENGTH)

  read.encode = encode
  return types.SimpleNamespace(truth=truth, data=data, settings=settings, read=read)


def told_by_text(newspaper, monkeypatch, column):
  monkeypatch.setattr(text_encoders, 'encode', newspaper.read.encode)
  encoder = small.encoder(hidden_dim=32)
  arguments = newspaper.data, newspaper.settings, CONFIG, column, 0
  return text_classification.problem(encoder, *arguments)


@pytest.mark.soak
def test_a_planted_category_is_found_on_new_items(newspaper, monkeypatch, tmp_path):
  problem = told_by_text(newspaper, monkeypatch, 'topic')
  np.testing.assert_array_equal(problem.test.units, np.flatnonzero(newspaper.data.split.cold_items))
  assert not np.isin(problem.test.units, [*problem.train.units, *problem.held_out.units]).any()
  found = gain(problem, learnt(problem, tmp_path))
  assert all(each.low > 0.2 for each in found.values()), found


@pytest.mark.parametrize(('column', 'other'), [('topic', 'loud'), ('moods', 'GALAXY')])
def test_the_text_that_is_read_is_without_the_column(newspaper, monkeypatch, column, other):
  problem = told_by_text(newspaper, monkeypatch, column)
  assert newspaper.read.seen[0] == f'{newspaper.truth.text[0]}. {other}'
  assert problem.exclusive == (column == 'topic')


def test_without_new_items_a_fifth_is_judged_and_the_protocol_says_so(newspaper, monkeypatch):
  split = newspaper.data.split
  no_cold = dataclasses.replace(split, cold_items=np.zeros_like(split.cold_items))
  data = dataclasses.replace(newspaper.data, split=no_cold)
  problem = told_by_text(
    types.SimpleNamespace(**vars(newspaper) | {'data': data}), monkeypatch, 'topic'
  )
  assert len(problem.test.units) == 24 and 'pre-training may have read' in problem.protocol
  assert not np.isin(problem.test.units, [*problem.train.units, *problem.held_out.units]).any()


def test_a_catalogue_whose_activations_are_too_large_is_told_by_its_tokens(newspaper, monkeypatch):
  kept = told_by_text(newspaper, monkeypatch, 'topic')
  monkeypatch.setattr(catalogue_text, '_MOST_BYTES', 0)
  large = told_by_text(newspaper, monkeypatch, 'topic')
  assert [each.test.inputs[0].ndim for each in (kept, large)] == [3, 2]
  found, expected = (
    classification.logits(nnx.view(each.model, deterministic=True), each.test)
    for each in (large, kept)
  )
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_column_that_names_each_item_is_no_category(newspaper, monkeypatch):
  with pytest.raises(InputError, match='column "item_id" has 120 labels for 120 items'):
    told_by_text(newspaper, monkeypatch, 'item_id')


def test_what_nothing_can_be_learnt_from_is_one_line(setting):
  data, of = setting.data, setting.data.interactions

  def with_rating(rating):
    return dataclasses.replace(data, interactions=dataclasses.replace(of, rating=rating))

  def message(make, data):
    with pytest.raises(InputError) as error:
      make(setting.encoder, data, CONFIG, 4.0, 0)
    return str(error.value)

  likes, buys = history_classification.likes, history_classification.buys
  assert 'no ratings' in message(likes, with_rating(None))
  all_liked = with_rating(np.full(of.num_events, 5, np.float32))
  assert 'all 170 examples before the cut are "liked"' in message(likes, all_liked)
  at_once = dataclasses.replace(of, timestamp=np.zeros_like(of.timestamp))
  assert 'have one time' in message(buys, dataclasses.replace(data, interactions=at_once))
