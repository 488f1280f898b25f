"""Sampled candidates against all of them: an unbiased sum, gradients near those of all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from rec_jax.losses import off_policy
from rec_jax.studies.logged import objectives, sampling
from rec_jax.studies.logged.objectives import Rows

NUM_ROUNDS, NUM_ITEMS, DIM = 6, 40, 3
RNG = np.random.default_rng(0)
PARAMS = RNG.normal(size=(NUM_ITEMS, DIM))
ACTION = np.array([0, 0, 0, 1, 2, 39])


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64():
    yield


def rows(candidates=None):
  index = ACTION
  if candidates is not None:
    index = (candidates == ACTION[:, None]).argmax(1)
  return Rows(
    query=jnp.asarray(np.c_[RNG.normal(size=(NUM_ROUNDS, DIM - 1)), np.ones(NUM_ROUNDS)]),
    candidates=None if candidates is None else jnp.asarray(candidates),
    index=jnp.asarray(index),
    action=jnp.asarray(ACTION),
    propensity=jnp.asarray(RNG.uniform(0.05, 0.5, NUM_ROUNDS)),
    reward=jnp.asarray(RNG.normal(size=NUM_ROUNDS)),
    group=jnp.zeros(NUM_ROUNDS, int),
  )


def lists():
  """[6, 30] the logged item and others, fewer in the last row."""
  found = np.stack(
    [[a, *RNG.permutation(np.setdiff1d(np.arange(NUM_ITEMS), [a]))[:29]] for a in ACTION]
  )
  found[5, 20:] = -1
  return np.stack([RNG.permutation(row) for row in found])


def model(log, batch):
  """Of an item its number, in any batch."""
  del log
  ones = jnp.ones((NUM_ROUNDS, 1))
  return objectives.across(lambda offered: ones * jnp.sin(1.0 * offered), batch)


def drawn(monkeypatch, log, num_drawn, num_batches):
  monkeypatch.setattr(sampling, 'NUM_DRAWN', num_drawn)
  prepare = sampling.batches(log, NUM_ITEMS, model)
  keys = jax.random.split(jax.random.key(0), num_batches)
  return jax.jit(jax.vmap(lambda key: prepare(key, log)))(keys)


@pytest.mark.parametrize('named', [False, True])
def test_the_sum_of_exponentials_is_unbiased(monkeypatch, named):
  log = rows(lists() if named else None)
  scores = functools.partial(objectives.logits, None, jnp.asarray(PARAMS))
  batches = drawn(monkeypatch, log, 8, 20_000)
  sums = np.exp(jax.jit(jax.vmap(scores))(batches)).sum(2)
  exact = np.exp(scores(sampling.whole(log, NUM_ITEMS))).sum(1)
  mean, error = sums.mean(0), sums.std(0) / np.sqrt(len(sums))
  assert (np.abs(mean - exact) < 4 * error).all()
  assert (np.abs(1.5 * mean - exact) > 4 * error).all()
  # Without the correction it is the sum over a few.
  shift = jnp.where(jnp.isfinite(batches.shift), 0.0, -jnp.inf)
  plain = np.exp(jax.jit(jax.vmap(scores))(batches.replace(shift=shift))).sum(2)
  assert (np.abs(plain.mean(0) - exact) > 0.1 * exact).all()


def test_items_are_drawn_by_how_often_they_were_logged(monkeypatch):
  offered = np.asarray(drawn(monkeypatch, rows(), 8, 20_000).offered).ravel()
  expected = (np.bincount(ACTION, minlength=NUM_ITEMS) + 1) / (NUM_ROUNDS + NUM_ITEMS)
  found = np.bincount(offered, minlength=NUM_ITEMS) / len(offered)
  np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(expected.max() / len(offered)))


def losses(name, params, batch):
  logits = objectives.logits(None, params, batch)
  logged = batch.index, batch.propensity, batch.reward
  if name == 'dr':
    return off_policy.dr(logits, *logged, batch.model).mean()
  return off_policy.top_k(logits, *logged, slate_size=3).mean()


@pytest.mark.parametrize(
  ('name', 'named'),
  [
    ('top_k', False),
    *(pytest.param('dr', named, marks=pytest.mark.soak) for named in (False, True)),
  ],
)
def test_gradients_come_near_those_of_all_candidates(monkeypatch, name, named):
  """The bias falls as 1 / M: at M = 1,024 none is left that 200 draws could show."""
  log = rows(lists() if named else None)
  gradient = jax.grad(functools.partial(losses, name))
  exact = sampling.whole(log, NUM_ITEMS)
  exact = np.asarray(gradient(jnp.asarray(PARAMS), exact.replace(model=model(log, exact))))

  def gap(num_drawn):
    monkeypatch.setattr(sampling, 'num_offered', lambda rows, num_items: 10**6)
    batches = drawn(monkeypatch, log, num_drawn, 200)
    found = jax.jit(jax.vmap(lambda batch: gradient(jnp.asarray(PARAMS), batch)))(batches)
    return np.linalg.norm(np.mean(found, axis=0) - exact) / np.linalg.norm(exact)

  many = gap(1024)
  assert many < 0.02
  assert gap(4) > 3 * many


def test_few_candidates_are_all_looked_at():
  log = rows()
  batch = sampling.batches(log, NUM_ITEMS, model)(jax.random.key(0), log)
  assert batch.action is None and batch.offered.shape == (1, NUM_ITEMS)
  np.testing.assert_allclose(
    jax.nn.softmax(objectives.logits(None, jnp.asarray(PARAMS), batch)),
    special.softmax(np.asarray(log.query) @ PARAMS.T, axis=1),
    rtol=1e-12,
  )
