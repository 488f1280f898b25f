"""What a refit minimises, by its own arithmetic: prior, noise, bootstrap and dropout.

The fit of a belief is an argument. The one here reports the loss instead of descending: it fills
all parameters with it. With one row in the buffer every minibatch is that row, and the loss known.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs import network
from rec_jax.bandits.beliefs.dropout import dropout
from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.bandits.beliefs.epinet import epinet
from rec_jax.bandits.beliefs.last_layer import last_layer_laplace, neural_linear
from rec_jax.bandits.beliefs.neural_gradient import neural_gradient
from tests.bandits import problems

KEY = jax.random.key(0)
LOSS_KEY = jax.random.key(7)
# Of the row, and of the minibatch: what `network.refit` hands to the loss of a row.
ROW_KEY = jax.random.split(LOSS_KEY)[1]
WEIGHT, REWARD = 2.0, 0.75
LAMBDA, NOISE = 3.0, 0.5
SETTINGS = {'hidden': 4, 'capacity': 8}


def report(key, loss, params):
  del key
  return jax.tree.map(lambda leaf: jnp.full_like(leaf, loss(LOSS_KEY, params)), params)


def one_row(belief):
  """The state after one row and before the refit, and the loss that the refit reports."""
  row = problems.feedback(0, 1).replace(weight=jnp.array([WEIGHT]), reward=jnp.array([REWARD]))
  start = belief.init(KEY, problems.SPEC)
  if hasattr(start, 'head'):
    row = row.replace(info=None)
  state = belief.update(jax.random.key(3), start, row)
  return state, problems.compiled(belief.refresh)(KEY, state)


def squares(params, leading=False):
  """Sum of squares of all parameters, for each member if they have a leading [M]."""
  leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params)]
  return sum(np.sum(x**2, axis=tuple(range(int(leading), x.ndim))) for x in leaves)


def inputs_of(state):
  return np.asarray(state.replay.inputs[0], np.float64)


def forward(params, inputs):
  """Hidden units and output in float64."""
  for layer in params[:-1]:
    inputs = np.maximum(inputs @ np.asarray(layer['weights']) + np.asarray(layer['bias']), 0)
  return inputs, inputs @ np.asarray(params[-1]['weights']) + np.asarray(params[-1]['bias'])


def reported(params):
  return np.asarray(jax.tree.leaves(params)[0])


@pytest.mark.parametrize('factory', [neural_linear, neural_gradient])
def test_a_refit_weighs_squared_error_by_noise_and_weights_by_lambda(factory):
  state, after = one_row(factory(LAMBDA, NOISE, fit=report, **SETTINGS))
  _, output = forward(state.params, inputs_of(state))
  # Per unit of weight: (f - r)^2 / (2 noise), and lambda |params|^2 / 2 over the weight of 2.
  expected = (output[0] - REWARD) ** 2 / (2 * NOISE) + LAMBDA * squares(state.params) / 2 / WEIGHT
  np.testing.assert_allclose(reported(after.params).flat[0], expected, rtol=1e-5)


def test_a_refit_of_a_logistic_network_is_by_cross_entropy():
  state, after = one_row(last_layer_laplace(LAMBDA, fit=report, **SETTINGS))
  _, (logit,) = forward(state.params, inputs_of(state))
  entropy = REWARD * np.log1p(np.exp(-logit)) + (1 - REWARD) * np.log1p(np.exp(logit))
  expected = entropy + LAMBDA * squares(state.params) / 2 / WEIGHT
  np.testing.assert_allclose(reported(after.params).flat[0], expected, rtol=1e-5)


def test_the_loss_of_a_refit_is_per_unit_of_weight():
  def fit(key, loss, params):
    del key, params
    return loss(LOSS_KEY, [jnp.array([2.0])])

  def row_loss(key, params, rows):
    del key
    return jnp.full(rows.reward.shape, 5.0) * params[0]

  replay = network.init_replay(problems.SPEC, 8)
  rows = problems.feedback(0, 3).replace(weight=jnp.array([0.5, 0.5, 0.5]))
  # Nothing is known at first but the prior: 3 * 2^2 / 2 over at least 1.
  refit = problems.compiled(lambda replay: network.refit(KEY, fit, row_loss, None, replay, 3.0))
  np.testing.assert_allclose(refit(replay), 6.0)
  # Each row has half of 10; 3 rows over a weight of 1.5 make it 10, and the prior 6 / 1.5.
  full = problems.compiled(network.append)(replay, rows)
  np.testing.assert_allclose(refit(full), 14.0)


def test_a_member_of_an_ensemble_sees_a_row_twice_or_not_at_all():
  num_members, scale = 6, 0.5
  settings = {'prior_scale': scale, 'num_members': num_members, **SETTINGS}
  state, after = one_row(ensemble(LAMBDA, NOISE, fit=report, **settings))
  counts = np.asarray(state.replay.noise[0])
  assert set(counts) == {0.0, 2.0}
  losses = reported(after.params).reshape(num_members, -1)[:, 0]
  for m in range(num_members):
    own, fixed = jax.tree.map(lambda x, m=m: x[m], (state.params, state.prior))
    output = forward(own, inputs_of(state))[1] + scale * forward(fixed, inputs_of(state))[1]
    error = counts[m] * (output[0] - REWARD) ** 2 / (2 * NOISE)
    expected = error + LAMBDA * squares(own) / 2 / WEIGHT
    np.testing.assert_allclose(losses[m], expected, rtol=1e-5)
  assert problems.same_bits(state.prior, after.prior)


def test_half_of_the_members_see_a_row():
  belief = ensemble(num_members=4, **{**SETTINGS, 'capacity': 1000})
  rows = problems.feedback(0, 1000)
  replay = belief.update(KEY, belief.init(KEY, problems.SPEC), rows).replay
  share = np.mean(np.asarray(replay.noise) == 2)
  # Six standard errors of 4,000 coins.
  for chance, accepted in ((0.5, True), (0.6, False)):
    assert (abs(share - chance) < 0.05) == accepted


def test_an_epinet_fits_each_reward_with_noise_along_a_direction_of_its_own():
  index_dim, scale = 3, 0.3
  settings = {'prior_scale': scale, 'index_dim': index_dim, **SETTINGS}
  state, after = one_row(epinet(LAMBDA, NOISE, fit=report, **settings))
  direction = np.asarray(state.replay.noise[0], np.float64)
  np.testing.assert_allclose(np.sum(direction**2), 1, rtol=1e-5)
  units, (mean,) = forward(state.base, inputs_of(state))
  factors = forward(state.epinet, units)[1] + scale * forward(state.prior, inputs_of(state))[1]
  indices = np.asarray(jax.random.normal(ROW_KEY, (8, index_dim)), np.float64)
  # Osband et al. 2021, equation 7: the target of index z is reward + sqrt(noise) direction . z.
  error = mean + indices @ factors - REWARD - np.sqrt(NOISE) * indices @ direction
  prior = squares(state.base) + squares(state.epinet)
  expected = np.mean(error**2) / (2 * NOISE) + LAMBDA * prior / 2 / WEIGHT
  np.testing.assert_allclose(reported(after.base).flat[0], expected, rtol=1e-5)
  np.testing.assert_allclose(reported(after.epinet).flat[0], expected, rtol=1e-5)
  assert problems.same_bits(state.prior, after.prior)


def test_no_gradient_flows_from_an_epinet_to_its_base():
  def slope(key, loss, params):
    del key
    return jax.grad(lambda params: loss(LOSS_KEY, params))(params)

  settings = {'prior_scale': 0.0, 'index_dim': 3, 'fit': slope, **SETTINGS}
  state, after = one_row(epinet(1e-6, NOISE, **settings))
  units, (mean,) = forward(state.base, inputs_of(state))
  factors = forward(state.epinet, units)[1]
  indices = np.asarray(jax.random.normal(ROW_KEY, (8, 3)), np.float64)
  direction = np.asarray(state.replay.noise[0], np.float64)
  error = mean + indices @ (factors - np.sqrt(NOISE) * direction) - REWARD
  own = np.asarray(state.base[-1]['weights'][:, 0], np.float64)
  # Through the last layer alone: d loss / d bias is the mean error over the noise, and that of the
  # hidden biases is the same times the weights of the units that are on.
  np.testing.assert_allclose(after.base[-1]['bias'], np.mean(error) / NOISE, rtol=1e-4)
  expected = np.mean(error) / NOISE * own * (units > 0)
  np.testing.assert_allclose(after.base[-2]['bias'], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('rate', [0.0, 0.5])
def test_a_refit_drops_units_as_decisions_do(rate):
  def average(key, loss, params):
    keys = jax.random.split(key, 400)
    value = jnp.mean(jax.vmap(loss, (0, None))(keys, params))
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, value), params)

  state, after = one_row(dropout(LAMBDA, NOISE, rate=rate, fit=average, **SETTINGS))
  units, (output,) = forward(state.params, inputs_of(state))
  parts = units * np.asarray(state.params[-1]['weights'][:, 0])
  # Masks of 0 or 1 / (1 - p) keep the mean and add a variance of p / (1 - p) a squared part.
  error = (output - REWARD) ** 2 + rate / (1 - rate) * np.sum(parts**2)
  prior = LAMBDA * squares(state.params) / 2 / WEIGHT
  loss = reported(after.params).flat[0] - prior
  np.testing.assert_allclose(loss, error / (2 * NOISE), rtol=0.05)
  # Without the masks in the fit, the loss would be another one by far.
  assert np.sum(parts**2) > 0.3 * (output - REWARD) ** 2


def test_dropout_at_decisions_has_the_moments_of_its_masks():
  belief = dropout(rate=0.2, **SETTINGS)
  state = belief.init(KEY, problems.SPEC)
  context = problems.context(0)
  mean, variance = belief.predict(state, context)
  for k, row in enumerate(np.asarray(network.candidate_inputs(context), np.float64)):
    units, (output,) = forward(state.params, row)
    parts = units * np.asarray(state.params[-1]['weights'][:, 0])
    np.testing.assert_allclose(mean[k], output, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance[k], 0.25 * np.sum(parts**2), rtol=1e-4, atol=1e-7)


def test_networks_begin_with_the_variance_of_he():
  (first, last) = network.init_network(KEY, (50, 400, 3))
  assert not np.any(first['bias']) and not np.any(last['bias'])
  np.testing.assert_allclose(np.var(first['weights']), 2 / 50, rtol=0.05)
  np.testing.assert_allclose(np.var(last['weights']), 2 / 400, rtol=0.15)
