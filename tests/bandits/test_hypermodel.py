"""The hypermodel: numbers by hand, and the exact posterior where the network is linear."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.hypermodel import hypermodel
from rec_jax.types import ArmSpec
from tests.bandits import problems

KEY = jax.random.key(0)
SPEC = ArmSpec(num_arms=5, num_candidates=5, query_dim=1, arm_dim=3)
# A parameter of a layer with 4 inputs has a prior variance of scale^2 / 2, here 1 / lambda.
LAMBDA, NOISE, SCALE, INDEX_DIM, ROWS = 2.0, 0.5, 1.0, 256, 24


def minimum(key, loss, start):
  """The minimum of a quadratic loss averaged over 1,024 draws of its rows and indices."""
  keys = jax.random.split(key, 1_024)

  def slope(params):
    return jax.grad(lambda params: jnp.mean(jax.vmap(loss, (0, None))(keys, params)))(params)

  at_start, times = jax.linearize(slope, start)
  step, _ = jax.scipy.sparse.linalg.cg(times, jax.tree.map(jnp.negative, at_start), maxiter=30)
  return jax.tree.map(jnp.add, start, step)


BELIEF = hypermodel(LAMBDA, NOISE, SCALE, INDEX_DIM, hidden=0, capacity=ROWS, fit=minimum)


def flat(params):
  """[..., P] the weights and then the bias of a linear network, in float64."""
  layer = params[-1]
  lead = layer['bias'].shape[:-1]
  both = [np.asarray(layer[name]).reshape(*lead, -1) for name in ('weights', 'bias')]
  return np.concatenate(both, axis=-1).astype(np.float64)


@pytest.fixture(scope='module')
def fitted():
  """(state, inputs [n, P] with a 1, rewards [n], weights [n])."""
  feedback = dataclasses.replace(problems.feedback(0, ROWS, SPEC, binary=False), info=None)

  def run(feedback):
    return BELIEF.refresh(KEY, BELIEF.update(KEY, BELIEF.init(KEY, SPEC), feedback))

  state = problems.compiled(run)(feedback)
  inputs = np.concatenate([feedback.query, feedback.features, np.ones((ROWS, 1))], axis=1)
  return state, *(np.asarray(x, np.float64) for x in (inputs, feedback.reward, feedback.weight))


def posterior(inputs, reward, weight):
  precision = LAMBDA * np.eye(5) + (inputs * weight[:, None]).T @ inputs / NOISE
  covariance = np.linalg.inv(precision)
  return covariance @ (inputs.T @ (weight * reward)) / NOISE, covariance


def test_a_linear_hypermodel_has_the_mean_and_covariance_of_the_posterior(fitted):
  state, *data = fitted
  mean, covariance = posterior(*data)
  np.testing.assert_allclose(flat(state.learnt.centre), mean, atol=0.02)
  directions = flat(state.learnt.directions) + SCALE * flat(state.prior.directions)
  # In units of the posterior the covariance is the identity; of 256 indices, entries are off by
  # 1 / 16 and those of the diagonal by sqrt(2) as much, eigenvalues of five dimensions by 1 / 4.
  root = np.linalg.inv(np.linalg.cholesky(covariance))
  units = root @ directions.T @ directions @ root.T
  np.testing.assert_allclose(units, np.eye(5), atol=0.25)
  values = np.linalg.eigvalsh(units)
  assert 1 / 1.5 < values.min() < values.max() < 1.5


def test_the_directions_are_the_minimum_for_the_perturbations_that_were_drawn(fitted):
  state, inputs, reward, weight = fitted
  _, covariance = posterior(inputs, reward, weight)
  drawn = np.asarray(state.replay.noise, np.float64)
  np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-5)
  # Normal equations of the targets reward + sqrt(noise / weight) direction . z, for each z.
  pulled = inputs.T @ (np.sqrt(weight / NOISE)[:, None] * drawn)
  expected = covariance @ (LAMBDA * SCALE * flat(state.prior.directions).T + pulled)
  got = flat(state.learnt.directions) + SCALE * flat(state.prior.directions)
  error = np.linalg.norm(got.T - expected) / np.linalg.norm(expected)
  assert error < 0.2
  assert np.linalg.norm(got.T - 1.5 * expected) / np.linalg.norm(expected) > 0.4


def test_what_is_believed_is_the_network_of_each_index_by_hand(fitted):
  state, *_ = fitted
  context = problems.context(3, SPEC)
  inputs = np.asarray(network.candidate_inputs(context), np.float64)
  inputs = np.concatenate([inputs, np.ones((5, 1))], axis=1)
  centre = flat(state.learnt.centre) + flat(state.prior.centre)
  directions = flat(state.learnt.directions) + SCALE * flat(state.prior.directions)
  outputs = (centre + np.asarray(state.indices, np.float64) @ directions) @ inputs.T
  mean, variance = BELIEF.predict(state, context)
  np.testing.assert_allclose(mean, outputs.mean(axis=0), atol=1e-4)
  np.testing.assert_allclose(variance, outputs.var(axis=0), rtol=1e-3)
  # Indices come with their opposites: the mean is that of z = 0.
  np.testing.assert_allclose(mean, inputs @ centre, atol=1e-4)
  draws = np.asarray(BELIEF.sample(KEY, state, context, 4_000), np.float64)
  joint = inputs @ directions.T @ directions @ inputs.T
  scale = np.sqrt(np.outer(joint.diagonal(), joint.diagonal()))
  np.testing.assert_allclose((np.cov(draws.T) - joint) / scale, 0, atol=0.1)


def test_before_any_data_a_parameter_has_the_variance_of_its_prior():
  init = hypermodel(hidden=6, index_dim=4).init
  state = problems.compiled(init, static_argnums=1)(KEY, SPEC)
  for layer, fan_in in zip(state.prior.directions, (4, 6, 6), strict=True):
    for leaf in layer.values():
      np.testing.assert_allclose(np.sum(leaf**2, axis=0), 2 / fan_in, rtol=1e-5)
