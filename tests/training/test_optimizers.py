"""The schedule at its corners, and AdamW against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rec_jax.training import optimizers


def test_the_rate_is_zero_then_rises_then_falls_to_a_tenth():
  rate = optimizers.warmup_cosine(2.0, start=10, end=210)
  values = np.array([rate(t) for t in range(211)])
  # 5 % of 200 steps are the warm-up.
  expected = {0: 0, 9: 0, 10: 0, 11: 0.2, 15: 1.0, 20: 2.0, 115: 1.1, 210: 0.2}
  for t, value in expected.items():
    np.testing.assert_allclose(values[t], value, rtol=1e-5, atol=1e-7, err_msg=f'step {t}')
  decay = np.arange(191)
  cosine = 0.2 + 1.8 * (1 + np.cos(np.pi * decay / 190)) / 2
  np.testing.assert_allclose(values[20:], cosine, rtol=1e-5)
  assert values.max() == 2.0


@pytest.mark.parametrize('length', [1, 2, 3, 19])
def test_short_runs_have_a_rate(length):
  rate = optimizers.warmup_cosine(1.0, start=5, end=5 + length)
  values = np.array([rate(t) for t in range(5 + length + 3)])
  assert np.isfinite(values).all()
  assert not values[:5].any()
  assert values.max() == 1.0


def adamw_in_numpy(gradients, peak, num_steps, weight_decay, clip_norm=1.0):
  """Loshchilov & Hutter 2019, algorithm 2, after clipping each gradient."""
  rate = optimizers.warmup_cosine(peak, 0, num_steps)
  x, m, v = np.ones(2), np.zeros(2), np.zeros(2)
  for t, gradient in enumerate(gradients, start=1):
    gradient = gradient / max(1.0, np.linalg.norm(gradient) / clip_norm)
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    x = x - float(rate(t - 1)) * (step + weight_decay * x)
  return x


def descend(shape, gradients):
  optimizer = optimizers.adamw(0.1, 100, weight_decay=0.5)
  params = jnp.ones(shape)
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for gradient in gradients:
    updates, state = update(jnp.asarray(gradient).reshape(shape), state, params)
    params = optax.apply_updates(params, updates)
  return np.asarray(params).ravel()


def test_adamw_equals_numpy_and_decays_no_vector():
  gradients = [np.array(g) for g in [(30.0, 40.0), (0.1, -0.2), (-0.3, 0.2), (-3.0, 1.0)]]
  matrix, vector = (descend(shape, gradients) for shape in ((1, 2), (2,)))
  np.testing.assert_allclose(matrix, adamw_in_numpy(gradients, 0.1, 100, 0.5), rtol=1e-5)
  np.testing.assert_allclose(vector, adamw_in_numpy(gradients, 0.1, 100, 0.0), rtol=1e-5)
  for wrong in [
    adamw_in_numpy(gradients, 0.15, 100, 0.5),
    adamw_in_numpy(gradients, 0.1, 100, 0.75),
    adamw_in_numpy(gradients, 0.1, 100, 0.5, clip_norm=1.5),
  ]:
    assert np.abs(matrix - wrong).max() > 1e-3
