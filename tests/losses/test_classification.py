"""Losses of a label and a predicted probability against their formulas in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rec_jax.losses.classification import binary_cross_entropy, squared_error

LOGITS = np.random.default_rng(0).normal(0, 3, (5, 4))
LABELS = np.random.default_rng(1).integers(0, 2, (5, 4)).astype(float)


def test_both_equal_their_formulas():
  p = 1 / (1 + np.exp(-LOGITS))
  weight = np.array([1.0, 0.5, 3.0, 10.0])
  likelihood = weight * LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p)
  np.testing.assert_allclose(binary_cross_entropy(LOGITS, LABELS, weight), -likelihood, rtol=1e-5)
  np.testing.assert_allclose(squared_error(LOGITS, LABELS), (LABELS - p) ** 2, rtol=1e-4)


@pytest.mark.parametrize('loss', [binary_cross_entropy, squared_error])
def test_gradients_are_those_of_differences(loss):
  check_grads(lambda x: loss(x, LABELS), (LOGITS,), order=1, modes=('rev',), eps=1e-2)


@pytest.mark.parametrize('loss', [binary_cross_entropy, squared_error])
def test_the_true_probability_costs_least(loss):
  """On labels that are 1 with probability 0.3."""
  probability = jnp.linspace(0.01, 0.99, 99)
  logit = jnp.log(probability) - jnp.log1p(-probability)
  mean = 0.3 * loss(logit, 1.0) + 0.7 * loss(logit, 0.0)
  assert abs(float(probability[mean.argmin()]) - 0.3) < 1e-6


@pytest.mark.parametrize('label', [0.0, 1.0])
def test_a_likelihood_enters_with_a_minus_sign(label):
  """What is surely right costs nothing, what is surely wrong costs more the surer it is."""
  towards = 2 * label - 1
  for loss in (binary_cross_entropy, squared_error):
    costs = [float(loss(towards * logit, label)) for logit in (-1e4, -10.0, 0.0, 10.0, 1e4)]
    assert costs == sorted(costs, reverse=True) and costs[-1] == 0
    gradient = jax.grad(loss)(towards * 1e4, label)
    assert np.isfinite(costs).all() and gradient == 0
  np.testing.assert_allclose(binary_cross_entropy(-towards * 1e4, label), 1e4)
  np.testing.assert_allclose(squared_error(-towards * 1e4, label), 1)
