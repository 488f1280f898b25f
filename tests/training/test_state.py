"""One training step, its moving average, and what is kept as the best."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rec_jax.training import state as train_state

CENTRE = np.array([1.0, -2.0, 3.0], np.float32)
DECAY = 0.5


def quadratic(params, cache, key, batch, constants):
  """Half the squared distance to the centre plus the batch; the cache sums up the batches."""
  loss = 0.5 * jnp.sum((params['x'] - constants - batch) ** 2)
  return loss, (jnp.float32(1), cache + batch, {'noise': jax.random.uniform(key)})


def start(seed=0):
  optimizer = optax.sgd(0.1)
  params = {'x': jnp.zeros(3)}
  state = train_state.init(jax.random.key(seed), params, optimizer, jnp.float32(0))
  return state, train_state.make_step(quadratic, optimizer, DECAY)


def run(num_steps, seed=0, batch=0.0):
  state, step = start(seed)
  states, metrics = [state.params['x']], []
  for _ in range(num_steps):
    state, measured = step(state, batch, CENTRE)
    states.append(np.asarray(state.params['x']))
    metrics.append(jax.tree.map(float, measured))
  return state, states, metrics


def test_steps_go_down_a_quadratic():
  state, states, metrics = run(60)
  np.testing.assert_allclose(states[1], 0.1 * CENTRE, rtol=1e-6)
  # Gradient descent with rate r leaves (1 - r)^t of the distance.
  np.testing.assert_allclose(states[60], (1 - 0.9**60) * CENTRE, rtol=1e-5)
  losses = [measured['loss'] for measured in metrics]
  assert losses == sorted(losses, reverse=True)
  np.testing.assert_allclose(losses[0], 0.5 * np.sum(CENTRE**2), rtol=1e-6)
  np.testing.assert_allclose(metrics[0]['gradient_norm'], np.linalg.norm(CENTRE), rtol=1e-6)
  assert int(state.step) == 60


def test_the_average_follows_its_recursion():
  state, step = start()
  expected = np.zeros(3)
  decays = [min(DECAY, (1 + t) / (10 + t)) for t in range(12)]
  for decay in decays:
    state, _ = step(state, 0.0, CENTRE)
    expected = decay * expected + (1 - decay) * np.asarray(state.params['x'])
    np.testing.assert_allclose(state.average['x'], expected, rtol=1e-5)
  # The decay rises from 0.1, and reaches its bound within the test.
  assert decays[0] == 0.1
  assert decays[-1] == DECAY > decays[7]


def test_every_step_draws_from_its_own_key():
  _, _, first = run(4, seed=1)
  _, _, again = run(4, seed=1)
  _, _, other = run(4, seed=2)
  noise = [measured['noise'] for measured in first]
  assert noise == [measured['noise'] for measured in again]
  assert len({*noise, *(measured['noise'] for measured in other)}) == 8
  expected = jax.random.uniform(jax.random.fold_in(jax.random.key(1), 3))
  assert noise[3] == float(expected)


def test_a_step_hands_its_cache_to_the_next():
  state, _, _ = run(3, batch=0.5)
  assert float(state.cache) == 1.5


def test_a_step_takes_nothing_from_the_caller():
  optimizer = optax.adam(0.1)
  key, params, cache = jax.random.key(0), {'x': jnp.zeros(3)}, jnp.float32(0)
  state = train_state.init(key, params, optimizer, cache)
  step = train_state.make_step(quadratic, optimizer, DECAY)
  for _ in range(2):
    state, _ = step(state, 0.0, CENTRE)
  np.testing.assert_array_equal(params['x'], 0)
  assert float(cache) == 0
  np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(0)))


def test_the_best_is_kept_through_later_steps():
  state, step = start()
  kept = None
  for t, value in enumerate([0.1, 0.3, 0.2, 0.3], start=1):
    state, _ = step(state, 1.0, CENTRE)
    state = train_state.record_validation(state, value)
    if t == 2:
      kept = jax.tree.map(np.asarray, (state.average, state.cache))
  average, cache = state.best
  np.testing.assert_array_equal(average['x'], kept[0]['x'])
  assert float(cache) == float(kept[1]) == 2
  assert (int(state.best_step), float(state.best_value)) == (2, np.float32(0.3))
  assert np.abs(state.average['x'] - average['x']).max() > 0.1


@pytest.mark.parametrize('value', [float('nan'), float('-inf')])
def test_a_validation_without_a_value_is_never_the_best(value):
  state, step = start()
  state, _ = step(state, 0.0, CENTRE)
  state = train_state.record_validation(state, value)
  assert int(state.best_step) == 0
  state = train_state.record_validation(state, 0.25)
  assert (int(state.best_step), float(state.best_value)) == (1, 0.25)
