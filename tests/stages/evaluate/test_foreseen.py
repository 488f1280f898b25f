"""Probabilities of models against sums in float64, and against outcomes drawn from them."""

import dataclasses

import numpy as np
import pytest

from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import foreseen
from rec_jax.stages.evaluate.compared_models import EASE, TEACHER, ComparedModel
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries

NUM_USERS, NUM_ITEMS = 2_000, 40


@pytest.fixture(scope='module')
def logits():
  return 2 * np.random.default_rng(0).normal(size=(NUM_USERS, NUM_ITEMS))


@pytest.fixture(scope='module')
def open_to():
  """[U, N] bool, what each user has not met."""
  return np.random.default_rng(1).random((NUM_USERS, NUM_ITEMS)) > 0.2


def softmax(logits, mask):
  p = np.where(mask, np.exp(logits), 0)
  return p / p.sum(axis=1, keepdims=True)


@pytest.fixture(scope='module')
def asked(logits, open_to):
  """A query a user, whose item is drawn by the softmax of the logits."""
  rng = np.random.default_rng(2)
  target = [rng.choice(NUM_ITEMS, p=p) for p in softmax(logits, open_to)]
  none = np.zeros((NUM_USERS, 1), np.int32)
  met = ~open_to
  offsets = np.concatenate([[0], np.cumsum(met.sum(axis=1))])
  return Queries(
    none, none, none, np.array(target), np.arange(NUM_USERS), offsets, np.nonzero(met)[1]
  )


def scores(logits):
  return lambda queries: logits[queries.user].astype(np.float32)


def rows(logits, asked):
  """By metric, of a teacher beside a model without logits."""
  model = ComparedModel([scores(logits)])
  ranked = full_ranking.rank_targets(model.scores[0], asked, np.ones(NUM_ITEMS, bool))
  found = {TEACHER: ranked['recall@10'][None]}
  made = foreseen.rows(Config(), asked, {EASE: model, TEACHER: model}, found, NUM_ITEMS, 'p')
  assert {row['subject'] for row in made} == {TEACHER}
  return {row['metric']: row for row in made}


def test_probabilities_are_those_of_float64(logits, open_to, asked):
  p = softmax(logits, open_to)
  found = foreseen.probabilities(scores(logits), asked, NUM_ITEMS)
  np.testing.assert_allclose(
    found[foreseen.LOG_LOSS], -np.log(p[np.arange(NUM_USERS), asked.target]), rtol=1e-5, atol=1e-5
  )
  np.testing.assert_allclose(found[foreseen.FORESEEN], np.sort(p)[:, -10:].sum(axis=1), rtol=1e-5)
  # A list holds all that there is.
  few = dataclasses.replace(asked, target=asked.target % 7).take(np.arange(3))
  few = dataclasses.replace(few, repeats=True)
  found = foreseen.probabilities(scores(logits[:, :7]), few, 7)
  np.testing.assert_allclose(found[foreseen.FORESEEN], 1.0, rtol=1e-6)


def test_a_model_that_draws_the_items_is_calibrated_and_a_surer_one_is_not(
  logits, asked, optimised
):
  right = rows(logits, asked)
  assert right[foreseen.EXCESS]['low'] < 0 < right[foreseen.EXCESS]['high']
  assert right[foreseen.EXCESS]['n'] == NUM_USERS
  surer = rows(2 * logits, asked)
  # The lists are the same, so only what they promise differs.
  assert surer[foreseen.EXCESS]['low'] > 0.05
  assert surer[foreseen.LOG_LOSS]['low'] > right[foreseen.LOG_LOSS]['high']
  shy = rows(0.5 * logits, asked)
  assert shy[foreseen.EXCESS]['high'] < -0.05
