"""Symmetric KL against float64 by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.losses import consistency


def test_it_is_the_mean_of_both_divergences_over_the_mask():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(2, 5, 7))
  mask = np.array([1, 1, 0, 1, 1, 0, 1], bool)
  p, q = (np.exp(x[:, mask]) / np.exp(x[:, mask]).sum(1, keepdims=True) for x in logits)
  forth, back = (p * np.log(p / q)).sum(1), (q * np.log(q / p)).sum(1)
  found = consistency.symmetric_kl(*jnp.asarray(logits, jnp.float32), mask)
  np.testing.assert_allclose(found, (forth + back) / 2, rtol=1e-4)
  # One direction alone is another number.
  assert np.abs(np.asarray(found) / forth - 1).min() > 1e-3


def test_its_gradient_is_finite_and_zero_where_both_agree():
  logits, mask = jnp.array([[1.0, -2.0, 0.5]]), jnp.array([True, False, True])

  def total(shift):
    return consistency.symmetric_kl(logits + shift, logits, mask).sum()

  assert total(jnp.zeros(3)) == 0
  np.testing.assert_allclose(jax.grad(total)(jnp.zeros(3)), 0, atol=1e-7)
  gradient = jax.grad(total)(jnp.array([1.0, 5.0, 0.0]))
  assert np.isfinite(gradient).all() and gradient[0] > 0 and gradient[1] == 0


def test_of_pairs_it_is_that_of_the_two_outcomes():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(2, 5, 7))
  p, q = 1 / (1 + np.exp(-logits))
  forth, back = (
    a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b)) for a, b in ((p, q), (q, p))
  )
  found = consistency.symmetric_kl_of_pairs(*jnp.asarray(logits, jnp.float32))
  np.testing.assert_allclose(found, (forth + back) / 2, rtol=1e-4, atol=1e-6)
  assert np.isfinite(consistency.symmetric_kl_of_pairs(jnp.float32(1e4), jnp.float32(-1e4)))
