"""Negatives: how often each law draws an item, and that the softmax over them is the whole one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.losses.retrieval import full_softmax
from rec_jax.tasks import negatives, objectives
from rec_jax.tasks.negatives import Catalogue, Sample, Vectors

N, K, M = 5, 40, 30
KNOWN = jnp.array([True, True, False, True, True])
COUNTS = jnp.array([60, 25, 0, 10, 5], jnp.int32)
FREQUENCY = jnp.array([0.4, 0.3, 0.0, 0.2, 0.1])
CATALOGUE = Catalogue(KNOWN, COUNTS, FREQUENCY)
# The item of the first event, and logits of its user.
GOAL, LOGITS = 1, jnp.array([0.5, -0.3, 9.0, 0.8, -0.6])
UNBIASED = ('uniform', 'popularity', 'in_batch', 'mixed', 'memory')


def step(name, key, hard_factor=1):
  """Events of a step, the first with the item GOAL and the last three padding, and a sampler."""
  of_target, of_recent, draw = jax.random.split(key, 3)
  target, recent = (
    jax.random.choice(each, N, (number,), p=FREQUENCY)
    for each, number in ((of_target, K + 4), (of_recent, M))
  )
  target = target.at[0].set(GOAL)
  is_event = jnp.arange(K + 4) <= K
  # The oldest places of the memory are empty still.
  recent = jnp.where(jnp.arange(M) < M - 5, recent + 1, 0)
  sample = negatives.sampler(
    *(name, draw, target, is_event, CATALOGUE, recent), num_negatives=K, hard_factor=hard_factor
  )
  return target, is_event, sample


def vectors(logits, number=K + 4):
  """Users [P, N] and items [N, N] with the same logits for each event."""
  return Vectors(jnp.broadcast_to(logits, (number, N)), jnp.eye(N))


@functools.partial(jax.jit, static_argnames=('name', 'hard_factor'))
def draw(name, key, vectors, hard_factor=1):
  """The items of a step's events, and their negatives."""
  target, _, sample = step(name, key, hard_factor)
  return target, sample.draw(vectors)


@pytest.mark.parametrize('name', UNBIASED)
def test_an_item_is_drawn_as_often_as_is_said(name):
  @jax.jit
  @jax.vmap
  def count(key):
    drawn = step(name, key)[2].draw(vectors(LOGITS))
    items = jnp.broadcast_to(drawn.items, drawn.is_negative.shape)[0]
    return jnp.zeros(N).at[items].add(drawn.is_negative[0]), drawn.offset

  found, offset = map(np.asarray, count(jax.random.split(jax.random.key(0), 2000)))
  expected = np.exp(np.float64(offset[0])) / 4
  mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(2000)
  # Accidental hits are left out, and so is what nobody has met.
  assert mean[GOAL] == mean[2] == 0
  others = [0, 3, 4]
  assert (np.abs(mean - expected)[others] < 4 * error[others]).all(), (mean, expected)
  assert (np.abs(mean - 1.5 * expected)[others] > 4 * error[others]).all()


SIGNS = jnp.array([1.0, 0.0, -1.0])


@functools.partial(jax.jit, static_argnums=0)
def mean_gradients(name):
  """Of the sampled softmax of the first event by the logits of its user, for each of `SIGNS`."""

  @jax.vmap
  def of_step(key):
    target, _, sample = step(name, key)
    drawn = sample.draw(vectors(LOGITS))

    @jax.vmap
    def of_sign(sign):
      first = drawn._replace(
        items=drawn.items if drawn.items.ndim == 1 else drawn.items[:1],
        is_negative=drawn.is_negative[:1],
        offset=sign * drawn.offset,
      )
      loss = objectives._over_sample(
        target[:1], KNOWN, Sample(first.items.reshape(-1), lambda _: first)
      ).losses
      return jax.grad(lambda logits: loss(Vectors(logits[None], jnp.eye(N)))[0])(LOGITS)

    return of_sign(SIGNS)

  return of_step(jax.random.split(jax.random.key(1), 3000)).mean(0)


@pytest.mark.parametrize(
  'name',
  [
    'popularity',
    *(pytest.param(name, marks=pytest.mark.soak) for name in UNBIASED if name != 'popularity'),
  ],
)
def test_the_gradient_is_on_average_that_of_the_whole_softmax(name):
  """Log q is subtracted: with the other sign, or none, it goes elsewhere."""
  whole = jax.jit(
    jax.grad(lambda x: full_softmax(x[None], jnp.eye(N), jnp.array([GOAL]), KNOWN)[0])
  )(LOGITS)
  distance = np.abs(mean_gradients(name) - whole).max(1)
  distance = dict(zip((1, 0, -1), distance.tolist(), strict=True))
  # Of 40 draws and more some bias is left, which falls as 1 / K.
  assert distance[1] < 0.02, distance
  assert distance[0] > 0.03 and distance[-1] > 0.05, distance


@pytest.mark.parametrize('name', negatives.NEGATIVES)
def test_what_is_no_event_and_what_is_the_item_itself_are_no_negatives(name):
  target, drawn = draw(name, jax.random.key(2), vectors(LOGITS))
  items = np.broadcast_to(drawn.items, drawn.is_negative.shape)
  expected = items != np.asarray(target)[:, None]
  if name in ('in_batch', 'mixed', 'memory'):
    assert items.shape[1] == K + 4 + {'in_batch': 0, 'mixed': K, 'memory': M}[name]
    expected[:, K + 1 : K + 4] = False
  if name == 'memory':
    expected[:, -5:] = False
  np.testing.assert_array_equal(drawn.is_negative, expected)
  assert np.asarray(KNOWN)[items[expected]].all()
  assert np.isfinite(drawn.offset).all()


def test_hard_negatives_are_the_highest_of_a_larger_sample():
  rng = np.random.default_rng(0)
  users, items = rng.normal(size=(K + 4, 3)), rng.normal(size=(N, 3))
  key = jax.random.key(3)
  given = Vectors(jnp.asarray(users), jnp.asarray(items))
  target, drawn = draw('hard', key, given, hard_factor=2)
  pool = np.asarray(negatives.uniform(jax.random.split(key, 3)[2], KNOWN, (2 * K,)))
  for row, goal in enumerate(np.asarray(target)):
    logits = sorted((users[row] @ items[i] for i in pool if i != goal), reverse=True)[:K]
    kept = np.asarray(drawn.is_negative[row])
    chosen = sorted((items[np.asarray(drawn.items[row])[kept]] @ users[row]), reverse=True)
    np.testing.assert_allclose(chosen, logits, rtol=1e-5)
  # They stand for all of the sample: K times as many draws, of which the others add nothing.
  np.testing.assert_allclose(drawn.offset, np.log(2 * K), rtol=1e-6)


def test_hard_negatives_of_no_larger_sample_are_a_uniform_one():
  target, drawn = draw('hard', jax.random.key(4), vectors(LOGITS))
  loss = objectives._over_sample(
    target, KNOWN, Sample(drawn.items.reshape(-1), lambda _: drawn)
  ).losses(vectors(LOGITS))
  pool = negatives.uniform(jax.random.split(jax.random.key(4), 3)[2], KNOWN, (K,))
  for row in (0, 7):
    goal = int(target[row])
    odds = np.exp(np.float64(LOGITS))
    others = sum(odds[i] for i in np.asarray(pool) if i != goal) * 4 / K
    np.testing.assert_allclose(loss[row], np.log((odds[goal] + others) / odds[goal]), rtol=1e-5)


def test_the_memory_holds_the_latest_events():
  recent = jnp.array([9, 8, 0, 0])
  recent = negatives.remember(recent, jnp.array([4, 5]), jnp.array([True, False]))
  assert recent.tolist() == [5, 0, 9, 8]
  assert negatives.remember(recent, jnp.arange(6), jnp.ones(6, bool)).tolist() == [1, 2, 3, 4]
  with pytest.raises(ValueError, match='^negatives of a memory need one$'):
    given = jnp.array([1]), jnp.array([True]), CATALOGUE
    negatives.sampler('memory', jax.random.key(0), *given, num_negatives=1)


def test_rare_items_among_millions_of_events_are_drawn():
  """A cumulative share in float32 would round these three away."""
  counts = jnp.array([2**30 - 3, 1, 1, 1], jnp.int32)
  up_to = np.cumsum(np.asarray(counts, np.int64))
  assert len(np.unique(np.float32(up_to / up_to[-1]))) < 4
  drawn = jnp.searchsorted(jnp.cumsum(counts), jnp.array(up_to - 1, jnp.int32), side='right')
  assert drawn.tolist() == [0, 1, 2, 3]
