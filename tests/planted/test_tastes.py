"""The models find each of the planted tastes, and do not where what finds it is switched off."""

import dataclasses
import types

import numpy as np
import pytest

from rec_jax.tasks.objectives import OBJECTIVES
from tests.helpers import small
from tests.planted import checks, training, world


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """A world with all tastes, its data set, and the two kinds of queries."""
  truth = world.make(0)
  data = world.dataset(truth, tmp_path_factory.mktemp('planted'))
  return types.SimpleNamespace(
    truth=truth,
    data=data,
    encoder=small.encoder(hidden_dim=32),
    asked=training.queries(data, data.split.test_event),
    unseen=training.queries(data, np.flatnonzero(data.split.cold_items[data.interactions.item])),
  )


def trained(planted, variant, tmp_path_factory):
  directory = tmp_path_factory.mktemp(variant)
  return training.two_tower(planted.data, planted.encoder, variant, directory)


@pytest.fixture(scope='module')
def teacher(planted, tmp_path_factory):
  return trained(planted, 'teacher', tmp_path_factory)


@pytest.fixture(scope='module')
def text_only(planted, tmp_path_factory):
  return training.by_model(trained(planted, 'text_only', tmp_path_factory))


def test_the_teacher_beats_popularity(planted, teacher):
  def ranked(score):
    return checks.next_item(score, planted.asked, planted.data)

  popular = ranked(training.by_popularity(planted.data))
  checks.beats(ranked(training.by_model(teacher)), popular)
  random = training.untrained(planted.data, planted.encoder, 'teacher')
  with pytest.raises(AssertionError):
    checks.beats(ranked(training.by_model(random)), popular)


@pytest.mark.soak
@pytest.mark.parametrize('objective', OBJECTIVES[1:4])
def test_every_objective_beats_popularity(planted, objective, tmp_path):
  """Ids alone, a quarter of the steps: that they learn, not how far they come."""
  config = dataclasses.replace(
    training.FINETUNE, objective=objective, num_negatives=20, num_steps=100
  )
  model = training.two_tower(planted.data, planted.encoder, 'id_only', tmp_path, config)
  ranked = (
    checks.next_item(score, planted.asked, planted.data)
    for score in (training.by_model(model), training.by_popularity(planted.data))
  )
  checks.beats(*ranked)


def test_the_user_tower_reads_the_order_of_a_history(planted, teacher):
  truth, asked, score = planted.truth, planted.asked, training.by_model(teacher)
  ordered = checks.next_item(score, asked, planted.data)
  checks.follows_the_order(truth, asked, ordered['top'])
  mixed = checks.next_item(score, training.shuffled(asked), planted.data)
  with pytest.raises(AssertionError):
    checks.follows_the_order(truth, asked, mixed['top'])


def ids_alone_find_quality(planted, both, by_text):
  """One model finds it, and ranks above the other, which does not."""
  truth, asked = planted.truth, planted.asked
  checks.finds_quality(truth, both, asked)
  with pytest.raises(AssertionError):
    checks.finds_quality(truth, by_text, asked)
  checks.beats(*(checks.next_item(score, asked, planted.data) for score in (both, by_text)))


def test_ids_find_a_quality_that_no_text_tells(planted, teacher):
  without = training.without_ids(teacher)
  ids_alone_find_quality(planted, training.by_model(teacher), training.by_model(without))


@pytest.mark.soak
def test_a_model_of_text_alone_finds_no_quality(planted, teacher, text_only):
  ids_alone_find_quality(planted, training.by_model(teacher), text_only)


def test_text_places_items_that_nobody_has_seen(planted, teacher):
  data, unseen = planted.data, planted.unseen
  checks.places_unseen_items(training.by_model(teacher), unseen, data)
  # No training could change it: without text all unseen items stand at zero.
  id_only = training.untrained(data, planted.encoder, 'id_only')
  with pytest.raises(AssertionError):
    checks.places_unseen_items(training.by_model(id_only), unseen, data)


def test_a_collapsed_text_encoder_places_no_unseen_item(planted, teacher):
  model = training.by_model(training.collapsed(teacher, planted.data))
  with pytest.raises(AssertionError):
    checks.places_unseen_items(model, planted.unseen, planted.data)


@pytest.mark.soak
def test_the_student_keeps_what_the_teacher_knows(planted, teacher, tmp_path_factory):
  directory = tmp_path_factory.mktemp('student')
  after, before = training.student(planted.data, teacher, directory)
  taught = checks.next_item(training.by_model(teacher), planted.asked, planted.data)

  def kept(student):
    ranked = checks.next_item(training.by_student(student), planted.asked, planted.data)
    return ranked['ndcg@10'].mean() / taught['ndcg@10'].mean()

  assert kept(after) > 0.8
  assert kept(before) < 0.6
  checks.places_unseen_items(training.by_student(after), planted.unseen, planted.data)
