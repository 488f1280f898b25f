"""What is computed in parts equals the whole, and what cannot fit says how much it would take."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from rec_jax import bandits
from rec_jax.bandits import chunks, quadrature
from rec_jax.bandits.base import Outlook
from rec_jax.bandits.beliefs.linear import quadratic_forms
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.beliefs.per_arm import per_arm
from rec_jax.bandits.explorers import thompson as thompson_file
from rec_jax.bandits.explorers.information_directed import information_directed
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.types import ArmSpec, Context, Feedback, InputError
from tests.bandits import problems

# Of the device, and of a decision that fits there.
DEVICE_BYTES, MOST_BYTES = 4e9, 2.1e9
# At a matrix an arm or a number a pair of arms a million of them do not fit there.
TOO_LARGE = ('disjoint_', 'hybrid_', 'bootstrapped_', '_ids')


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


def test_a_regression_an_arm_in_parts(monkeypatch):
  belief = per_arm(logistic())
  state = belief.update(
    jax.random.key(0), belief.init(jax.random.key(0), problems.SPEC), problems.feedback(0, 9)
  )
  context = problems.context(1)
  whole = jax.jit(belief.predict)(state, context)
  # Two rows at once, of five.
  row = sum(leaf.size for leaf in jax.tree.leaves(state.fresh)) + 128
  monkeypatch.setattr(chunks, 'MOST_NUMBERS', 2 * row + 1)
  program = jax.jit(lambda state: belief.predict(state, context))
  assert 'while' in program.lower(state).as_text()
  for got, wanted in zip(program(state), whole, strict=True):
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


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


@pytest.mark.soak
@pytest.mark.parametrize(
  ('name', 'query_dim'),
  # Copies of a regression an arm have small states where the query is short.
  [*((name, 64) for name in bandits.names()), ('bootstrapped_logistic_ucb', 1)],
)
def test_a_million_candidates_fit_or_it_is_said_what_they_take(name, query_dim, monkeypatch):
  """Of compiled programs, which are not run: arguments, result and what is between."""
  page = 4096
  pages = {'SC_PAGE_SIZE': page, 'SC_PHYS_PAGES': int(DEVICE_BYTES / page)}
  monkeypatch.setattr(chunks, 'os', types.SimpleNamespace(sysconf=pages.get))
  policy = bandits.make(name)
  number, num_rows = 1_000_000, 8
  spec = ArmSpec(number, number, query_dim, arm_dim=64)

  def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)

  def taken(function, *arguments, **options):
    compiled = jax.jit(function, keep_unused=True, **options).lower(*arguments).compile()
    found = compiled.memory_analysis()
    outside = found.argument_size_in_bytes + found.output_size_in_bytes
    return outside - found.alias_size_in_bytes + found.temp_size_in_bytes

  context = Context(
    user_id=shape(dtype=jnp.int32),
    query=shape(query_dim),
    features=shape(number, 64),
    arm_ids=shape(number, dtype=jnp.int32),
    mask=shape(number, dtype=bool),
  )
  key = jax.eval_shape(lambda: jax.random.key(0))

  def decided():
    state = jax.eval_shape(lambda key: policy.init(key, spec), key)
    return state, jax.eval_shape(policy.select, key, state, context)

  if query_dim > 1 and any(part in name for part in TOO_LARGE):
    with pytest.raises(InputError, match=r'1,000,000 (arms|candidates).* takes [\d,.]+ GB, and'):
      decided()
    return
  state, decision = decided()
  rows = Feedback(
    user_id=shape(num_rows, dtype=jnp.int32),
    query=shape(num_rows, query_dim),
    features=shape(num_rows, 64),
    arm_id=shape(num_rows, dtype=jnp.int32),
    propensity=shape(num_rows),
    reward=shape(num_rows),
    weight=shape(num_rows),
    info=jax.tree.map(lambda x: shape(num_rows, *x.shape[1:], dtype=x.dtype), decision.info),
  )
  assert number * 64 * 4 < taken(policy.select, key, state, context) < MOST_BYTES
  assert taken(policy.update, key, state, rows, donate_argnums=1) < MOST_BYTES
  if policy.propensity_is_exact:
    assert taken(policy.probabilities, key, state, context) < MOST_BYTES
