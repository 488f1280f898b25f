"""Objectives of fine-tuning against brute force, and that all of them aim at the same P(i|u)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from rec_jax.losses import classification
from rec_jax.losses.retrieval import full_softmax
from rec_jax.tasks import negatives, objectives
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.negatives import Catalogue, Vectors

N, D, P, K = 6, 3, 4, 5
KEY = jax.random.key(0)
KNOWN = jnp.array([True, True, False, True, True, True])
TARGET = jnp.array([0, 1, 5, 1])
VECTORS = Vectors(
  jax.random.normal(jax.random.key(1), (P, D)),
  jax.random.normal(jax.random.key(2), (N, D)),
)
PAIRWISE = ('squared_error', 'binary_cross_entropy')


CATALOGUE = Catalogue(KNOWN, KNOWN.astype(jnp.int32), KNOWN / KNOWN.sum())
EVERYBODY = jnp.ones(P, bool)


def make(name, **fields):
  config = FinetuneConfig(objective=name, num_negatives=K, **fields)
  return objectives.make(config, KEY, TARGET, EVERYBODY, CATALOGUE)


def test_softmax_is_that_over_the_known_items():
  found = make('softmax').losses(VECTORS)
  np.testing.assert_array_equal(found, full_softmax(VECTORS.users, VECTORS.items, TARGET, KNOWN))
  np.testing.assert_allclose(make('softmax', softmax_chunk=4).losses(VECTORS), found, rtol=1e-5)


def test_a_softmax_over_many_items_is_summed_in_parts(monkeypatch):
  expected = make('softmax').losses(VECTORS)
  asked = []

  def summed(*given):
    asked.append(given[-1])
    return full_softmax(*given)

  monkeypatch.setattr(objectives.retrieval, 'full_softmax', summed)
  # Four logits an event, of six items.
  monkeypatch.setattr(objectives, '_MOST_LOGITS', 4 * P)
  np.testing.assert_allclose(make('softmax').losses(VECTORS), expected, rtol=1e-5)
  np.testing.assert_allclose(make('softmax', softmax_chunk=5).losses(VECTORS), expected, rtol=1e-5)
  monkeypatch.setattr(objectives, '_MOST_LOGITS', N * P)
  make('softmax').losses(VECTORS)
  assert asked == [4, 5, 0]


@pytest.mark.parametrize('law', ['uniform', 'in_batch'])
@pytest.mark.parametrize('name', objectives.OBJECTIVES[1:])
def test_a_loss_is_that_of_a_loop_over_what_was_drawn(name, law):
  users, items = (np.asarray(x, np.float64) for x in VECTORS[:2])
  target, size = np.asarray(TARGET), int(KNOWN.sum())
  drawn, number = np.asarray(negatives.uniform(KEY, KNOWN, (P, K))), K
  if law == 'in_batch':
    drawn, number = np.tile(target, (P, 1)), P - 1
  assert (drawn == target[:, None]).any()
  expected = []
  for user, goal, others in zip(users, target, drawn, strict=True):
    logit = {i: user @ items[i] for i in (goal, *others)}
    others = [i for i in others if i != goal]
    p = {i: 1 / (1 + np.exp(np.log(number) - logit[i])) for i in logit}
    beta = 0.75 * (number / size - 1) + 1
    expected.append(
      {
        'sampled_softmax': np.log(
          np.exp(logit[goal]) + sum(np.exp(logit[i]) * size / number for i in others)
        )
        - logit[goal],
        'squared_error': (1 - p[goal]) ** 2 + sum(p[i] ** 2 for i in others),
        'binary_cross_entropy': -np.log(p[goal]) - sum(np.log(1 - p[i]) for i in others),
        'gbce': beta * np.log(1 + size * np.exp(-logit[goal]))
        + sum(np.log(1 + np.exp(logit[i]) / size) for i in others),
      }[name]
    )
  found = make(name, negatives=law, calibration=0.75).losses(VECTORS)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize('calibration', [0.0, 0.5, 1.0])
def test_gbce_is_calibrated_as_is_said(calibration):
  """At its optimum σ is P at t = 1, and too high with less: β P / (β P + α (1 - P))."""
  truth, rate = np.array([0.5, 0.3, 0.15, 0.05]), 0.2
  weight = classification.calibration_weight(rate, calibration)

  @jax.jit
  @jax.value_and_grad
  def expected(logits):
    # Of the events of other items a share α draws this one.
    taken = classification.binary_cross_entropy(logits, 1.0, weight)
    left = classification.binary_cross_entropy(logits, 0.0)
    return (truth * taken + rate * (1 - truth) * left).sum()

  def as_double(logits):
    value, gradient = expected(jnp.asarray(logits, jnp.float32))
    return float(value), np.asarray(gradient, np.float64)

  found = scipy.optimize.minimize(as_double, np.zeros(4), jac=True, options={'gtol': 1e-6}).x
  beta = calibration * (rate - 1) + 1
  p = beta * truth / (beta * truth + rate * (1 - truth))
  np.testing.assert_allclose(1 / (1 + np.exp(-found)), p, atol=1e-3)
  assert (np.abs(p - truth).max() < 1e-9) == (calibration == 1)


@pytest.mark.parametrize('name', PAIRWISE)
def test_the_least_loss_is_where_the_logit_is_the_log_odds(name):
  """One user, a logit for each item, and every draw of two negatives in its proportion."""
  truth, number = np.array([0.5, 0.3, 0.15, 0.05]), 2
  size = len(truth)
  draws = [(goal, *others) for goal, *others in itertools.product(range(size), repeat=1 + number)]
  weight = truth[[draw[0] for draw in draws]] / size**number
  chosen = jnp.array(draws)
  loss = objectives._PAIRWISE[name]

  @jax.jit
  @jax.value_and_grad
  def expected(logits):
    labels = jnp.zeros(1 + number).at[0].set(1.0)
    shown = jnp.concatenate([chosen[:, :1] >= 0, chosen[:, 1:] != chosen[:, :1]], axis=1)
    losses = loss(logits[chosen] - jnp.log(number), labels)
    return (weight * (shown * losses).sum(1)).sum()

  def as_double(logits):
    value, gradient = expected(jnp.asarray(logits, jnp.float32))
    return float(value), np.asarray(gradient, np.float64)

  found = scipy.optimize.minimize(as_double, np.zeros(size), jac=True, options={'gtol': 1e-6}).x
  np.testing.assert_allclose(found, np.log(size * truth / (1 - truth)), atol=2e-3)
