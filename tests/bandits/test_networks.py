"""Beliefs with networks: the buffer, the posteriors given a network, and what they learn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.dropout import dropout
from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.bandits.beliefs.epinet import epinet
from rec_jax.bandits.beliefs.hypermodel import hypermodel
from rec_jax.bandits.beliefs.last_layer import last_layer_laplace, neural_linear
from rec_jax.bandits.beliefs.neural_gradient import neural_gradient
from tests.bandits import problems

SPEC = problems.SPEC
KEY = jax.random.key(0)
FIT = network.adam(num_steps=400)
SETTINGS = {'hidden': 16, 'capacity': 256, 'fit': FIT}
BELIEFS = {
  'neural_linear': neural_linear(noise_variance=0.05, **SETTINGS),
  'ensemble': ensemble(0.3, 0.05, num_members=5, **SETTINGS),
  'epinet': epinet(0.3, 0.05, **SETTINGS),
  'hypermodel': hypermodel(0.3, 0.05, prior_scale=0.5, **SETTINGS),
  'dropout': dropout(0.3, 0.05, rate=0.1, **SETTINGS),
  'neural_gradient': neural_gradient(0.3, 0.05, **SETTINGS),
}


def float64(*arrays):
  return (np.asarray(x, np.float64) for x in arrays)


@pytest.mark.parametrize('capacity', [7, 30, pytest.param(4, marks=pytest.mark.soak)])
def test_the_buffer_keeps_the_last_rows_in_order(capacity):
  replay, append = network.init_replay(SPEC, capacity), jax.jit(network.append)
  kept = []
  for seed, size in enumerate([3, 9, 1, 5]):
    feedback = jax.device_get(problems.feedback(seed, size))
    weight = np.float32(feedback.weight * (np.arange(size) % 3 != 1))
    replay = append(replay, dataclasses.replace(feedback, weight=weight))
    kept += [
      (*feedback.query[i], *feedback.features[i], feedback.reward[i], weight[i])
      for i in range(size)
      if weight[i] != 0
    ]
  kept = np.asarray(kept[-capacity:])
  ordered = jax.device_get(jax.jit(network.in_order)(replay))
  rows = np.concatenate([ordered.inputs, ordered.reward[:, None], ordered.weight[:, None]], axis=1)
  np.testing.assert_allclose(rows[len(rows) - len(kept) :], kept, rtol=1e-6)
  assert not rows[: len(rows) - len(kept)].any()


def start(belief):
  return problems.compiled(belief.init, static_argnums=1)(KEY, SPEC)


def learnt(belief, feedback):
  """The state after one update and one refresh."""

  def run(feedback):
    state = belief.update(KEY, belief.init(KEY, SPEC), feedback)
    return belief.refresh(jax.random.key(1), state)

  return problems.compiled(run)(feedback)


def hidden_units(state, inputs):
  """[n, H + 1] in float64, with the one of the bias."""
  for layer in state.params[:-1]:
    inputs = np.maximum(inputs @ np.asarray(layer['weights']) + np.asarray(layer['bias']), 0)
  return np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)


def test_neural_linear_is_a_regression_of_the_buffer_on_hidden_units():
  belief = neural_linear(2.0, 0.5, hidden=4, capacity=20, fit=network.adam(10))
  feedback = problems.feedback(0, 30, binary=False)
  state = learnt(belief, feedback)
  last = jax.tree.map(lambda x: x[-20:], dataclasses.replace(feedback, info=()))
  query, features, r, w = float64(last.query, last.features, last.reward, last.weight)
  units = hidden_units(state, np.concatenate([query, features], axis=1))
  precision = 2.0 * np.eye(5) + (units * w[:, None]).T @ units / 0.5
  mean = np.linalg.solve(precision, units.T @ (w * r) / 0.5)
  np.testing.assert_allclose(state.head.mean, mean, rtol=1e-3, atol=1e-4)
  covariance = np.linalg.inv(precision)
  np.testing.assert_allclose(state.head.root @ state.head.root.T, covariance, rtol=2e-3, atol=1e-5)
  context = problems.context(3)
  (inputs,) = float64(network.candidate_inputs(context))
  own = hidden_units(state, inputs)
  expected, variance = problems.compiled(belief.predict)(state, context)
  np.testing.assert_allclose(expected, own @ mean, rtol=1e-3, atol=1e-4)
  np.testing.assert_allclose(variance, np.sum(own @ covariance * own, axis=1), rtol=2e-3)


def test_laplace_has_the_curvature_of_the_buffer_at_the_fit():
  belief = last_layer_laplace(2.0, hidden=4, capacity=20, fit=network.adam(10))
  feedback = problems.feedback(0, 30)
  state = learnt(belief, feedback)
  last = state.params[-1]
  mode = np.concatenate([last['weights'][:, 0], last['bias']]).astype(np.float64)
  np.testing.assert_allclose(state.head.mean, mode, rtol=1e-6)
  inputs, w = float64(state.replay.inputs, state.replay.weight)
  units = hidden_units(state, inputs)
  chance = 1 / (1 + np.exp(-units @ mode))
  precision = 2.0 * np.eye(5) + (units * (w * chance * (1 - chance))[:, None]).T @ units
  covariance = state.head.root @ state.head.root.T
  np.testing.assert_allclose(covariance @ precision, np.eye(5), atol=1e-3)


def test_neural_gradient_adds_squared_gradients():
  belief = neural_gradient(2.0, hidden=4, gamma=0.9)
  start = problems.compiled(belief.init, static_argnums=1)(KEY, SPEC)
  feedback = jax.device_get(problems.feedback(0, 6))
  state = problems.compiled(belief.update)(KEY, start, feedback)

  @jax.jit
  def gradient_of(inputs):
    return jax.grad(lambda params: network.apply_network(params, inputs)[0])(start.params)

  def gradient(inputs):
    of = gradient_of(inputs)
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(of)]).astype(np.float64)

  diagonal = 0
  for query, features, weight in zip(
    feedback.query, feedback.features, feedback.weight, strict=True
  ):
    row = gradient(np.concatenate([query, features]))
    diagonal = 0.9 * diagonal + float(weight) * row**2 / 4
  context = problems.context(3)
  _, variance = problems.compiled(belief.predict)(state, context)
  expected = [
    np.sum(2.0 * gradient(x) ** 2 / (2.0 + diagonal)) / 4
    for x in np.asarray(network.candidate_inputs(context))
  ]
  np.testing.assert_allclose(variance, expected, rtol=1e-4)


@pytest.mark.parametrize('name', ['ensemble', 'epinet', 'dropout', 'neural_gradient'])
def test_draws_have_the_predicted_moments(name):
  belief = BELIEFS[name]
  state = start(belief)
  context = problems.context(3)
  mean, variance = problems.compiled(belief.predict)(state, context)
  draw = problems.compiled(belief.sample, static_argnums=3)
  draws = np.asarray(draw(jax.random.key(1), state, context, 20_000), np.float64)
  deviation = np.sqrt(variance)
  np.testing.assert_allclose((draws.mean(axis=0) - mean) / deviation, 0, atol=0.04)
  np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.1)


# The fits of the others minimise what `test_refits.py` says, and draw as `test_draws...` says.
@pytest.mark.parametrize(
  'name',
  [
    name if name in ('neural_linear', 'ensemble') else pytest.param(name, marks=pytest.mark.soak)
    for name in BELIEFS
  ],
)
def test_a_network_learns_what_no_linear_belief_can(name):
  belief = BELIEFS[name]
  feedback = problems.feedback(0, 256)
  x = np.asarray(feedback.features)
  feedback = dataclasses.replace(
    feedback, query=jnp.zeros((256, 3)), reward=jnp.asarray(np.abs(x[:, 0]) - x[:, 1] ** 2 / 4)
  )
  state = learnt(belief, feedback)
  context = problems.context(0, SPEC._replace(num_candidates=200, num_arms=200))
  context = dataclasses.replace(context, query=jnp.zeros(3))
  truth = np.abs(context.features[:, 0]) - context.features[:, 1] ** 2 / 4
  predict = problems.compiled(belief.predict)
  mean, variance = predict(state, context)
  assert np.mean((mean - truth) ** 2) < 0.35 * np.var(truth)
  # Doubt is less than before, and grows where nothing was seen.
  before = predict(start(belief), context)[1]
  assert np.mean(variance) < np.mean(before)
  far = dataclasses.replace(context, features=6 * context.features)
  assert np.mean(predict(state, far)[1]) > 2 * np.mean(variance)
