"""One temperature makes a model as sure as its answers bear out, and changes nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import calibration, two_tower_model
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.two_tower_model import TwoTowerModel

NUM_ITEMS, NUM_QUERIES, LENGTH, NUM_KNOWN = 12, 2000, 4, 10


def model():
  """Of ids, with all that adds to logits: what is learnt, a context, a path and a trend."""
  config = TwoTowerConfig(
    num_items=NUM_ITEMS,
    text_dim=0,
    dim=8,
    num_heads=2,
    history_length=LENGTH,
    linear_rank=3,
    context_dim=2,
  )
  towers = TwoTower(config, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)

  def like(variable, scale):
    variable[...] = jnp.asarray(rng.normal(scale=scale, size=variable.shape), jnp.float32)

  like(towers.users.context.kernel, 0.3)
  like(towers.items.linear.given, 0.3)
  like(towers.items.linear.sought, 0.5)
  like(towers.items.trend, 0.5)
  towers.items.has_id[...] = jnp.arange(NUM_ITEMS) < NUM_KNOWN
  return nnx.view(TwoTowerModel(towers, None), deterministic=True)


def asked(target=None):
  """Two items of each history are no candidates."""
  rng = np.random.default_rng(1)
  history = rng.permuted(np.tile(np.arange(1, NUM_KNOWN + 1), (NUM_QUERIES, 1)), axis=1)[:, :LENGTH]
  return Queries(
    history=history.astype(np.int32),
    rewards=rng.integers(0, 2, history.shape).astype(np.int32),
    times=np.zeros_like(history, np.int32),
    target=np.zeros(NUM_QUERIES, np.int32) if target is None else target,
    user=np.arange(NUM_QUERIES),
    seen_offsets=2 * np.arange(NUM_QUERIES + 1),
    seen_items=(history[:, :2] - 1).ravel(),
    repeats=False,
    context=rng.normal(size=(NUM_QUERIES, 2)).astype(np.float32),
  )


def logits(of, queries):
  return np.asarray(two_tower_model.answers(of)(queries))


def open_to(queries):
  return queries.unseen(NUM_ITEMS) & (np.arange(NUM_ITEMS) < NUM_KNOWN)


def drawn(queries, at):
  """Answers of users who choose by logits at a temperature."""
  scores = np.where(open_to(queries), logits(model(), queries) / at, -np.inf)
  return np.asarray(jax.random.categorical(jax.random.key(0), scores), np.int32)


@pytest.mark.parametrize('at', [0.5, 1.0, 3.0])
def test_the_temperature_is_that_of_the_answers(at):
  queries = asked()
  queries = asked(drawn(queries, at))
  before, vectors = logits(model(), queries), model().towers.items().copy()
  tempered = model()
  found = calibration.add(tempered, queries)['temperature']
  if at == 1:
    assert found == 1
  else:
    # Two steps of the grid.
    assert abs(np.log2(found / at)) <= 0.25 and found != 1
  np.testing.assert_allclose(logits(tempered, queries), before / found, rtol=1e-4, atol=1e-5)
  # What the user tower and exploration read.
  np.testing.assert_array_equal(tempered.towers.items(), vectors)


def test_new_items_are_as_sure_as_known_ones():
  config = TwoTowerConfig(
    num_items=NUM_ITEMS, text_dim=3, dim=8, num_heads=2, history_length=LENGTH, linear_rank=3
  )
  towers, rng = TwoTower(config, rngs=nnx.Rngs(0)), np.random.default_rng(0)
  for variable in (towers.items.linear.given, towers.items.linear.sought):
    variable[...] = jnp.asarray(rng.normal(size=variable.shape), jnp.float32)
  text, known = rng.normal(size=(NUM_ITEMS, 3)), jnp.arange(NUM_ITEMS) < NUM_KNOWN
  towers.items.fill(jnp.asarray(text, jnp.float32), known, jnp.zeros(NUM_ITEMS))
  towers.items.place_unseen()
  tempered = nnx.view(TwoTowerModel(towers, None), deterministic=True)
  queries = dataclasses.replace(asked(), context=None)
  before = logits(tempered, queries)
  scores = np.where(open_to(queries), before / 3, -np.inf)
  target = np.asarray(jax.random.categorical(jax.random.key(0), scores), np.int32)
  found = calibration.add(tempered, dataclasses.replace(queries, target=target))['temperature']
  assert found > 2
  np.testing.assert_allclose(logits(tempered, queries), before / found, rtol=1e-3, atol=1e-4)


def test_few_answers_change_nothing():
  queries = asked(drawn(asked(), 3.0)).take(np.arange(1))
  assert calibration.add(model(), queries) == {'temperature': 1.0}


def test_answers_that_are_no_candidates_are_left_out():
  queries = asked()
  target = drawn(queries, 3.0).copy()
  expected = calibration.add(model(), asked(target).take(np.arange(1000)))
  # An item of no event, and one that was seen.
  target[1000:1500], target[1500:] = NUM_KNOWN, queries.history[1500:, 0] - 1
  assert calibration.add(model(), asked(target)) == expected
  alone = asked(target).take(np.arange(1000, NUM_QUERIES))
  assert calibration.add(model(), alone) == {'temperature': 1.0}
