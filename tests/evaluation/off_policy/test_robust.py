"""The weights of MRDR make the variance of the doubly robust estimate least, by enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from rec_jax.evaluation.off_policy.reward_models import cross_fitted, expected_of, ridge
from rec_jax.evaluation.off_policy.robust import robust_weight

NUM_CONTEXTS, K = 5, 3
RNG = np.random.default_rng(1)
CONTEXT, FEATURES = RNG.normal(size=(NUM_CONTEXTS, 2)), RNG.normal(size=(K, 1))
REWARDS = RNG.random((NUM_CONTEXTS, K))
LOGGED = special.softmax(2 * RNG.normal(size=(NUM_CONTEXTS, K)), axis=1)
# One action in each context, which the log likes more or less.
EVALUATED = np.eye(K)[RNG.integers(K, size=NUM_CONTEXTS)]
PAIRS = np.array(list(itertools.product(range(NUM_CONTEXTS), range(K))))


def variance(params):
  """Of what a round adds to DR beyond that of its context, by a loop over all choices."""
  total = 0.0
  for x in range(NUM_CONTEXTS):
    q_hat = CONTEXT[x] @ params[:2] + FEATURES[:, 0] * params[2] + params[3]
    adds = EVALUATED[x] @ q_hat + EVALUATED[x] / LOGGED[x] * (REWARDS[x] - q_hat)
    total += LOGGED[x] @ adds**2 - (LOGGED[x] @ adds) ** 2
  return total / NUM_CONTEXTS


def slope(params, step=1e-5):
  units = step * np.eye(len(params))
  return np.array([variance(params + u) - variance(params - u) for u in units]) / (2 * step)


def fitted(of_rows):
  """Parameters of a wrong model of the population: each pair as often as it is logged."""
  x, a = PAIRS.T
  often = LOGGED[x, a] * of_rows
  inputs = jnp.asarray(np.c_[CONTEXT[x], FEATURES[a]])
  model = ridge(1e-9)
  return np.asarray(
    model.fit(jax.random.key(0), inputs, jnp.asarray(REWARDS[x, a]), jnp.asarray(often))
  )


def test_no_other_parameters_have_less_variance():
  x, a = PAIRS.T
  with jax.enable_x64():
    found = fitted(robust_weight(EVALUATED[x, a] / LOGGED[x, a], LOGGED[x, a]))
    plain = fitted(np.ones(len(PAIRS)))
  assert np.abs(slope(found)).max() < 1e-4 * np.abs(slope(plain)).max()
  assert variance(found) < 0.9 * variance(plain)


def test_weights_have_mean_one_and_may_all_be_zero():
  weight, pscore = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.5, 0.2])
  np.testing.assert_allclose(robust_weight(weight, pscore), 3 * np.array([0, 0.5, 7.2]) / 7.7)
  np.testing.assert_array_equal(robust_weight(weight, np.ones(3)), 0)


@pytest.mark.parametrize('weight', [None, 'first'])
def test_rows_are_weighed_in_the_fits_of_all_folds(weight):
  """Rows without weight are as if they were not there."""
  rng = np.random.default_rng(0)
  kept = np.arange(40) < 30
  log = {
    'context': rng.normal(size=(40, 2)),
    'action': rng.integers(K, size=40),
    'reward': rng.random(40),
    'fold': np.arange(40) % 2,
  }
  few = {name: column[kept] for name, column in log.items()}
  with jax.enable_x64():
    values = [
      expected_of(cross_fitted(jax.random.key(0), ridge(), **rows, **more), np.arange(30))
      for rows, more in (
        (log, {'action_context': FEATURES, 'weight': kept if weight else None}),
        (few, {'action_context': FEATURES}),
      )
    ]
  assert np.allclose(*values, atol=1e-9) == (weight == 'first')
