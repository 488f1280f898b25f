"""Objectives of fine-tuning against brute force, and that all of them aim at the same P(i|u)."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy import stats

from rec_jax.losses.retrieval import full_softmax
from rec_jax.tasks import objectives

N, D, P, K = 6, 3, 4, 5
KEY = jax.random.key(0)
KNOWN = jnp.array([True, True, False, True, True, True])
TARGET = jnp.array([0, 1, 5, 1])
VECTORS = (
  jax.random.normal(jax.random.key(1), (P, D)),
  jax.random.normal(jax.random.key(2), (N, D)),
)
PAIRWISE = ('squared_error', 'binary_cross_entropy')


def test_negatives_are_uniform_over_the_known_items():
  drawn = objectives.negatives(KEY, KNOWN, (1000, K))
  counts = np.bincount(np.ravel(drawn), minlength=N)
  assert counts[2] == 0
  assert stats.chisquare(counts[np.asarray(KNOWN)]).pvalue > 1e-3
  assert stats.chisquare(counts[np.asarray(KNOWN)], 1000 * K * np.arange(1, 6) / 15).pvalue < 1e-9


def test_softmax_is_that_over_the_known_items():
  found = objectives.make('softmax', KEY, TARGET, KNOWN, K).losses(VECTORS)
  np.testing.assert_array_equal(found, full_softmax(*VECTORS, TARGET, KNOWN))


@pytest.mark.parametrize('name', objectives.OBJECTIVES[1:])
def test_a_loss_is_that_of_a_loop_over_what_was_drawn(name):
  users, items = (np.asarray(x, np.float64) for x in VECTORS)
  drawn = np.asarray(objectives.negatives(KEY, KNOWN, (P, K)))
  assert (drawn == np.asarray(TARGET)[:, None]).any()
  expected = []
  for user, goal, others in zip(users, np.asarray(TARGET), drawn, strict=True):
    logit = {i: user @ items[i] for i in (goal, *others)}
    others = [i for i in others if i != goal]
    p = {i: 1 / (1 + np.exp(np.log(K) - logit[i])) for i in logit}
    expected.append(
      {
        'sampled_softmax': np.log(
          np.exp(logit[goal]) + sum(np.exp(logit[i]) * KNOWN.sum() / K for i in others)
        )
        - logit[goal],
        'squared_error': (1 - p[goal]) ** 2 + sum(p[i] ** 2 for i in others),
        'binary_cross_entropy': -np.log(p[goal]) - sum(np.log(1 - p[i]) for i in others),
      }[name]
    )
  found = objectives.make(name, KEY, TARGET, KNOWN, K).losses(VECTORS)
  np.testing.assert_allclose(found, expected, rtol=1e-4)


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
