"""Fits against least squares in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rec_jax.training.fit import fit

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(64, 3)).astype(np.float32)
ROWS = INPUTS, INPUTS @ np.array([1.0, -2.0, 0.5], np.float32) + 1
SOLUTION = np.linalg.lstsq(np.c_[INPUTS, np.ones(64)], ROWS[1])[0]


def loss(params, rows):
  inputs, target = rows
  return ((inputs @ params['slope'] + params['intercept'] - target) ** 2).mean()


def fitted(**options):
  start = {'slope': jnp.zeros(3), 'intercept': jnp.zeros(())}
  found = fit(jax.random.key(0), loss, start, ROWS, optax.sgd(0.2), **options)
  return np.append(found['slope'], found['intercept'])


def test_all_rows_and_batches_reach_the_solution():
  np.testing.assert_allclose(fitted(num_steps=100, batch_size=64), SOLUTION, atol=1e-4)
  np.testing.assert_allclose(fitted(num_steps=300, batch_size=16), SOLUTION, atol=1e-3)


def test_a_preconditioner_may_replace_the_gradient():
  design = np.c_[INPUTS, np.ones(64)]
  inverse = jnp.asarray(np.linalg.inv(design.T @ design / 32), jnp.float32) / 0.2

  def newton(params, rows, gradient):
    del params, rows
    step = inverse @ jnp.append(gradient['slope'], gradient['intercept'])
    return {'slope': step[:3], 'intercept': step[3]}

  one_step = fitted(num_steps=1, batch_size=64, precondition=newton)
  np.testing.assert_allclose(one_step, SOLUTION, atol=1e-4)
