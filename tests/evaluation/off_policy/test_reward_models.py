"""Reward models against closed forms, and that no round judges itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.evaluation.off_policy import reward_models
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic, ridge
from rec_jax.evaluation.off_policy.reward_networks import network


@pytest.fixture
def x64():
  with jax.enable_x64():
    yield


def log(num_rounds=60, num_actions=4):
  rng = np.random.default_rng(0)
  action = rng.integers(num_actions, size=num_rounds)
  context = rng.normal(size=(num_rounds, 2))
  return {
    'context': context,
    'action_context': rng.normal(size=(num_actions, 3)),
    'action': action,
    'reward': (context[:, 0] + action + rng.normal(size=num_rounds) > 1).astype(float),
    'fold': folds(1, num_rounds, 3),
    'position': rng.integers(2, size=num_rounds),
    'num_positions': 2,
  }


def test_ridge_is_the_closed_form_of_each_fold_and_position(x64, monkeypatch):
  monkeypatch.setattr(reward_models, 'CHUNK_INPUTS', 7 * 4 * 5)
  data = log()
  q_hat = cross_fit(jax.random.key(0), ridge(2.0), **data)
  design = np.c_[data['context'], data['action_context'][data['action']], np.ones(60)]
  for i in (0, 17, 59):
    for place in range(2):
      rows = (data['fold'] != data['fold'][i]) & (data['position'] == place)
      x, y = design[rows], data['reward'][rows]
      params = np.linalg.solve(x.T @ x + np.diag([2.0] * 5 + [0]), x.T @ y)
      every = np.c_[np.tile(data['context'][i], (4, 1)), data['action_context'], np.ones(4)]
      np.testing.assert_allclose(q_hat[i, :, place], every @ params, rtol=1e-8)


@pytest.mark.parametrize(('kind', 'forward'), [(ridge, False), (logistic, False), (logistic, True)])
def test_an_action_by_its_number_is_its_one_hot_columns(x64, kind, forward):
  data = log() | {'forward': forward}
  one_hot = cross_fit(jax.random.key(0), kind(2.0), **data | {'action_context': np.eye(4)})
  numbers = data | {'action_context': np.arange(4)[:, None]}
  found = cross_fit(jax.random.key(0), kind(2.0, num_actions=4), **numbers)
  np.testing.assert_allclose(found, one_hot, rtol=1e-9)
  assert np.ptp(found[0, :, 0]) > 0.1


def test_forward_models_know_earlier_folds_alone(x64):
  data = log() | {'fold': reward_models.blocks(60)}
  assert data['fold'][:9].tolist() == [0, 1, 2, 2, 3, 3, 3, 3, 4]
  q_hat = cross_fit(jax.random.key(0), ridge(2.0), **data, forward=True)
  later = data | {'reward': np.where(np.arange(60) < 8, data['reward'], 7.0)}
  changed = cross_fit(jax.random.key(0), ridge(2.0), **later, forward=True)
  # Round 8 opens a block, whose model has seen the eight before it; the next one opens with 16.
  np.testing.assert_array_equal(changed[:16], q_hat[:16])
  assert (changed[16:] != q_hat[16:]).any(axis=(1, 2)).all()
  design = np.c_[data['context'], data['action_context'][data['action']], np.ones(60)]
  rows = (np.arange(60) < 8) & (data['position'] == 1)
  x, y = design[rows], data['reward'][rows]
  params = np.linalg.solve(x.T @ x + np.diag([2.0] * 5 + [0]), x.T @ y)
  every = np.c_[np.tile(data['context'][9], (4, 1)), data['action_context'], np.ones(4)]
  np.testing.assert_allclose(q_hat[9, :, 1], every @ params, rtol=1e-6)
  assert (q_hat[0] == 0).all()


def test_candidates_are_looked_up():
  data = log()
  candidates = np.random.default_rng(1).integers(4, size=(60, 2))
  everything = cross_fit(jax.random.key(0), ridge(2.0), **data)
  found = cross_fit(jax.random.key(0), ridge(2.0), candidates=candidates, **data)
  expected = np.take_along_axis(everything, candidates[:, :, None], axis=1)
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def predicted(model, params, inputs):
  """[n] of inputs of which the first column is of the context and the others of one action each."""
  first = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params)
  group, inputs = jnp.zeros(len(inputs), int), jnp.asarray(inputs)
  return model.predict(first, group, inputs[:, :1], inputs[:, None, 1:])[:, 0]


def test_logistic_solves_its_equations(x64):
  rng = np.random.default_rng(3)
  # Rare rewards and a feature of another scale, as in the Open Bandit data.
  inputs, weight = rng.normal(size=(200, 3)) * [1, 1, 10], rng.integers(2, size=200)
  reward = (rng.random(200) < 0.05).astype(float)
  model = logistic(0.5)
  params = model.fit(jax.random.key(0), jnp.asarray(inputs), reward, jnp.asarray(weight, float))
  residual = weight * (np.asarray(predicted(model, params, inputs)) - reward)
  np.testing.assert_allclose(inputs.T @ residual + 0.5 * params[:-1], 0, atol=1e-8)
  assert residual.sum() == pytest.approx(0, abs=1e-8)


def test_network_takes_the_fit_that_it_is_given():
  def descend(key, loss, params):
    gradient = jax.grad(loss, argnums=1)

    def step(params, key):
      return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient(key, params)), None

    return jax.lax.scan(step, params, jax.random.split(key, 500))[0]

  inputs = jnp.asarray(np.random.default_rng(0).normal(size=(200, 2)), jnp.float32)
  reward = jnp.abs(inputs[:, 0])  # A linear model would explain nothing.
  model = network(descend)
  params = model.fit(jax.random.key(0), inputs, reward, jnp.ones(200))
  error = jnp.mean((predicted(model, params, inputs) - reward) ** 2)
  assert error < 0.1 * jnp.var(reward)


def test_no_round_judges_itself(x64):
  data = log()
  before = cross_fit(jax.random.key(0), ridge(), **data)
  rows = data['fold'] == 1
  changed = data | {'reward': np.where(rows, 1 - data['reward'], data['reward'])}
  after = cross_fit(jax.random.key(0), ridge(), **changed)
  np.testing.assert_array_equal(before[rows], after[rows])
  assert not np.allclose(before[~rows], after[~rows])


def test_folds_are_even_and_one_is_refused():
  assert sorted(np.bincount(folds(0, 11, 3))) == [3, 4, 4]
  with pytest.raises(ValueError, match='at least two folds'):
    cross_fit(jax.random.key(0), ridge(), **log() | {'fold': np.zeros(60, int)})
