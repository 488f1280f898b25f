"""Schedules and layer-wise rates in closed form, AdamW against NumPy, decay of matrices alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rec_jax.training import optimizers


def values(schedule, peak, start, end):
  return np.asarray(jax.vmap(optimizers.rate(schedule, peak, start, end))(jnp.arange(end + 1)))


def shape(schedule, decay):
  """Of a run of 200 steps with a peak of 1 after 10 of them, after shares `decay` of the rest."""
  return {
    'cosine': 0.1 + 0.9 * (1 + np.cos(np.pi * decay)) / 2,
    'linear': 1 - 0.9 * decay,
    # The last 40 steps of the 190.
    'wsd': 1 - 0.9 * np.clip((190 * decay - 150) / 40, 0, 1),
  }[schedule]


@pytest.mark.parametrize('schedule', optimizers.SCHEDULES)
def test_the_rate_is_zero_then_rises_then_falls_to_a_tenth(schedule):
  found = values(schedule, 2.0, 10, 210)
  assert not found[:11].any()
  # 5 % of 200 steps are the warm-up.
  np.testing.assert_allclose(found[10:21], np.linspace(0, 2, 11), rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(found[20:], 2 * shape(schedule, np.arange(191) / 190), rtol=1e-5)
  assert found.max() == 2.0
  np.testing.assert_allclose(found[-1], 0.2, rtol=1e-5)
  for other in set(optimizers.SCHEDULES) - {schedule}:
    assert np.abs(found[20:] - 2 * shape(other, np.arange(191) / 190)).max() > 0.1


@pytest.mark.parametrize('schedule', optimizers.SCHEDULES)
@pytest.mark.parametrize('length', [1, 3])
def test_short_runs_have_a_rate(schedule, length):
  rate = optimizers.rate(schedule, 1.0, 5, 5 + length)
  found = np.array([rate(t) for t in range(5 + length + 1)])
  assert np.isfinite(found).all()
  assert not found[:5].any()
  assert found.max() == 1.0


def test_the_rising_rate_grows_by_the_same_factor():
  found = values(optimizers.RISING, 0.5, 0, 25)[:25]
  np.testing.assert_allclose(found, np.geomspace(0.5e-6, 0.5, 25), rtol=1e-5)


def adamw_in_numpy(gradients, peak, num_steps, weight_decay, clip_norm=1.0):
  """Loshchilov & Hutter 2019, algorithm 2, after clipping each gradient."""
  rate = optimizers.rate('cosine', peak, 0, num_steps)
  x, m, v = np.ones(2), np.zeros(2), np.zeros(2)
  for t, gradient in enumerate(gradients, start=1):
    gradient = gradient / max(1.0, np.linalg.norm(gradient) / clip_norm)
    m = 0.9 * m + 0.1 * gradient
    v = 0.999 * v + 0.001 * gradient**2
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    x = x - float(rate(t - 1)) * (step + weight_decay * x)
  return x


def descend(optimizer, params, gradients):
  """The parameters after steps along gradients of one leaf after another."""
  state = optimizer.init(params)
  update = jax.jit(optimizer.update)
  for gradient in gradients:
    updates, state = update(gradient, state, params)
    params = optax.apply_updates(params, updates)
  return jax.tree.map(np.asarray, params)


def test_adamw_equals_numpy_and_decays_no_vector():
  gradients = [np.array(g) for g in [(30.0, 40.0), (0.1, -0.2), (-0.3, 0.2), (-3.0, 1.0)]]
  optimizer = optimizers.make(0.1, 100, weight_decay=0.5)
  matrix, vector = (
    descend(optimizer, jnp.ones(s), [jnp.asarray(g).reshape(s) for g in gradients]).ravel()
    for s in ((1, 2), (2,))
  )
  np.testing.assert_allclose(matrix, adamw_in_numpy(gradients, 0.1, 100, 0.5), rtol=1e-5)
  np.testing.assert_allclose(vector, adamw_in_numpy(gradients, 0.1, 100, 0.0), rtol=1e-5)
  for wrong in [
    adamw_in_numpy(gradients, 0.15, 100, 0.5),
    adamw_in_numpy(gradients, 0.1, 100, 0.75),
    adamw_in_numpy(gradients, 0.1, 100, 0.5, clip_norm=1.5),
  ]:
    assert np.abs(matrix - wrong).max() > 1e-3


PARAMS = {
  'kernel': jnp.ones((3, 2)),
  'embedding': jnp.ones((4, 2)),
  'bias': jnp.ones(2),
  'scale': jnp.ones(3),
}


@pytest.mark.parametrize('optimizer', optimizers.OPTIMIZERS)
def test_matrices_and_tables_decay_and_norms_and_biases_never_do(optimizer):
  made = optimizers.make(0.1, 100, weight_decay=0.5, optimizer=optimizer)
  found = descend(made, PARAMS, [jax.tree.map(jnp.zeros_like, PARAMS)] * 3)
  # Rates of the first three steps of a warm-up of five.
  expected = np.prod([1 - 0.5 * 0.1 * t / 5 for t in range(3)])
  for name, leaf in found.items():
    wanted = expected if name in ('kernel', 'embedding') else 1.0
    np.testing.assert_allclose(leaf, wanted, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize('optimizer', optimizers.OPTIMIZERS)
def test_a_rate_is_about_how_far_a_weight_moves(optimizer):
  """So that one rate serves all of them."""
  rng = np.random.default_rng(0)
  params = {'kernel': jnp.zeros((64, 32)), 'bias': jnp.zeros(32)}
  gradient = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
  made = optimizers.make(1.0, 40, weight_decay=0.0, optimizer=optimizer)
  # Of the two steps of the warm-up the first has a rate of 0, the second of a half.
  moved = descend(made, params, [gradient] * 2)
  for name, leaf in moved.items():
    assert 0.05 < np.sqrt(np.mean(leaf**2)) < 0.6, name
    assert np.mean(np.sign(leaf) == -np.sign(gradient[name])) > 0.7, name


def test_muon_moves_a_matrix_in_all_its_directions_alike():
  """Jordan et al. 2024: U V' in place of the gradient U S V'; a table of embeddings as by AdamW."""
  rng = np.random.default_rng(0)
  gradient = jnp.asarray(rng.normal(size=(8, 4)) @ np.diag([8.0, 4.0, 2.0, 1.0]))
  params = {'kernel': jnp.zeros((8, 4)), 'embedding': jnp.zeros((8, 4))}
  made = optimizers.make(1.0, 40, weight_decay=0.0, optimizer='muon', clip_norm=1e9)
  moved = descend(made, params, [{'kernel': gradient, 'embedding': gradient}] * 2)
  u, _, v = np.linalg.svd(gradient, full_matrices=False)
  # Rate 0.5, scale 0.2 sqrt(8); five steps of Newton-Schulz leave singular values near 1.
  expected = -0.5 * 0.2 * np.sqrt(8) * u @ v
  assert np.linalg.norm(moved['kernel'] - expected) < 0.35 * np.linalg.norm(expected)
  np.testing.assert_allclose(moved['embedding'], -0.5 * np.sign(gradient), rtol=1e-3)


def test_blocks_learn_at_rates_that_fall_from_layer_to_layer():
  leaf = jnp.ones((2, 2))
  updates = {
    'transformer': {'blocks': {i: {'kernel': leaf} for i in range(3)}, 'norm': {'scale': leaf}}
  }
  scale = optimizers.layerwise(0.5, 3)
  found, _ = scale.update(updates, scale.init(updates))
  for i, share in enumerate((0.25, 0.5, 1.0)):
    np.testing.assert_allclose(found['transformer']['blocks'][i]['kernel'], share)
  np.testing.assert_allclose(found['transformer']['norm']['scale'], 1.0)
