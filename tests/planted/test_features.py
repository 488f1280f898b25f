"""Models find tastes that features alone tell, of items and of users without events."""

import dataclasses
import types

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from flax import nnx

from rec_jax.data.features import Features
from tests.helpers import small
from tests.planted import checks, training, world

CONFIG = dataclasses.replace(training.FINETUNE, num_steps=120, validate_every=60)


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """A world whose texts tell nothing: its topics are a column of items, and of users."""
  truth = world.make(0, world.Taste(chapter=0.0))
  rng = np.random.default_rng(0)
  text = [' '.join(rng.choice(world.FILLERS, 4, replace=False)) for _ in truth.text]
  truth = dataclasses.replace(truth, text=text)
  plain = world.dataset(truth, tmp_path_factory.mktemp('planted'))
  row = plain.items.ids.astype(int)
  users = plain.interactions.user_ids.astype(int)
  likes = [[str(topic) for topic in np.flatnonzero(truth.likes[user])] for user in users]
  told = Features(
    items=pl.DataFrame({'kind': [[str(topic)] for topic in truth.topic[row]]}),
    users=pl.DataFrame({'likes': likes}),
  )
  return types.SimpleNamespace(
    truth=truth, plain=plain, told=dataclasses.replace(plain, features=told)
  )


def trained(data, tmp_path_factory):
  directory = tmp_path_factory.mktemp('teacher')
  return training.two_tower(data, small.encoder(), 'teacher', directory, CONFIG)


@pytest.fixture(scope='module')
def told(planted, tmp_path_factory):
  """The model that reads the features."""
  return trained(planted.told, tmp_path_factory)


def finds_unseen(data, model):
  events = np.flatnonzero(data.split.cold_items[data.interactions.item])
  checks.places_unseen_items(training.by_model(model), training.queries(data, events), data)


def of_liked_topics(planted, data, model):
  """Share of the first ten that is of a topic that the user likes, when nothing else is known."""
  asked = training.queries(data, data.split.test_event)
  asked = dataclasses.replace(asked, history=0 * asked.history, rewards=0 * asked.rewards)
  top = checks.next_item(training.by_model(model), asked, data)['top']
  likes = planted.truth.likes[data.interactions.user_ids.astype(int)[asked.user]]
  return likes[np.arange(len(top))[:, None], planted.truth.topic[top]].mean()


def finds_nothing(planted, data, model):
  with pytest.raises(AssertionError):
    finds_unseen(data, model)
  assert of_liked_topics(planted, data, model) < 0.45


@pytest.mark.soak
def test_features_tell_what_items_and_users_without_events_are_like(planted, told):
  finds_unseen(planted.told, told)
  assert of_liked_topics(planted, planted.told, told) > 0.6
  blind = nnx.clone(told)
  blind.towers.items.features[...] = jnp.zeros_like(blind.towers.items.features[...])
  blind.towers.items.place_unseen()
  finds_nothing(planted, planted.plain, blind)


@pytest.mark.soak
def test_a_model_that_was_trained_without_features_knows_nothing_of_them(planted, tmp_path_factory):
  finds_nothing(planted, planted.plain, trained(planted.plain, tmp_path_factory))


@pytest.mark.soak
def test_the_student_keeps_what_its_teacher_makes_of_features(planted, told, tmp_path_factory):
  data = planted.told
  student, _ = training.student(data, told, tmp_path_factory.mktemp('student'))
  events = np.flatnonzero(data.split.cold_items[data.interactions.item])
  score = training.by_student(student)
  checks.places_unseen_items(score, training.queries(data, events), data)
