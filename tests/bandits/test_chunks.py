"""What is computed in parts equals the whole, and what cannot fit says how much it would take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from rec_jax.bandits import chunks, quadrature
from rec_jax.bandits.base import Outlook
from rec_jax.bandits.beliefs.linear import quadratic_forms
from rec_jax.bandits.explorers import thompson as thompson_file
from rec_jax.bandits.explorers.information_directed import information_directed
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.types import InputError
from tests.bandits import problems


@pytest.mark.parametrize('num_rows', [1, 7, 8, 9, 23, 24])
def test_parts_are_the_whole(num_rows, monkeypatch):
  monkeypatch.setattr(chunks, 'MOST_NUMBERS', 80)
  rows = {'x': jnp.arange(num_rows * 3.0).reshape(num_rows, 3), 'y': jnp.arange(num_rows)}
  sizes = []

  def function(rows):
    sizes.append(len(rows['y']))
    return rows['x'].sum(axis=1), rows['y'] ** 2

  sums, squares = chunks.by_rows(function, rows, 10)
  np.testing.assert_array_equal(sums, rows['x'].sum(axis=1))
  np.testing.assert_array_equal(squares, rows['y'] ** 2)
  assert max(sizes) <= 8


# Packed products, norms at once, norms in parts.
@pytest.mark.parametrize(('num_rows', 'most'), [(50, 2**24), (3_000, 2**24), (3_000, 2**14)])
def test_quadratic_forms_of_few_and_many_rows(num_rows, most, monkeypatch):
  monkeypatch.setattr(chunks, 'MOST_NUMBERS', most)
  rng = np.random.default_rng(0)
  features, root = rng.normal(size=(num_rows, 32)), rng.normal(size=(32, 32))
  got = quadratic_forms(jnp.asarray(features, jnp.float32), jnp.asarray(root, jnp.float32))
  np.testing.assert_allclose(got, ((features @ root) ** 2).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize('most', [2**24, 120])
def test_propensities_of_thompson_in_parts(most, monkeypatch):
  mean, deviation = jnp.array([0.5, 0.3, 0.0]), jnp.array([0.3, 0.4, 1.0])
  mask = jnp.array([True, True, False])

  def sample(key, number):
    return mean + deviation * jax.random.normal(key, (number, 3))

  def cdf(x):
    return jax.scipy.stats.norm.cdf(x, mean, deviation)

  monkeypatch.setattr(chunks, 'MOST_NUMBERS', most)
  for file in (thompson_file, quadrature):
    monkeypatch.setattr(file, 'MOST_NUMBERS', most)
  key = jax.random.key(0)
  best = norm.cdf(0.2 / 0.5)
  known = Outlook(mean, deviation**2, sample, cdf)
  exact = jax.jit(lambda key: thompson().probabilities(key, 0, known, mask))(key)
  np.testing.assert_allclose(exact, [best, 1 - best, 0], atol=2e-4)
  drawn, explorer = known._replace(cdf=None), thompson(num_samples=3_001)
  estimate = jax.jit(lambda key: explorer.probabilities(key, 0, drawn, mask))(key)
  np.testing.assert_allclose(estimate, [best, 1 - best, 0], atol=0.03)
  assert float(estimate.sum()) == pytest.approx(1, abs=1e-5)


def test_what_compares_pairs_says_what_it_would_take():
  explorer = information_directed()
  state = explorer.init(jax.random.key(0), problems.SPEC)
  mean = jax.ShapeDtypeStruct((1_000_000,), jnp.float32)
  mask = jax.ShapeDtypeStruct((1_000_000,), bool)

  def probabilities(mean, mask):
    outlook = Outlook(mean, mean, lambda key, number: jnp.tile(mean, (number, 1)), None)
    return explorer.probabilities(jax.random.key(0), state, outlook, mask)

  with pytest.raises(InputError, match=r'among 1,000,000 candidates takes 32,001.5 GB, and the'):
    jax.eval_shape(probabilities, mean, mask)
