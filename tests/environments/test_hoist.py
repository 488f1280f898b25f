"""A program in two halves is the program, and the second half draws nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.environments import hoist

KEYS = jax.random.split(jax.random.key(0), 3)
REST = jnp.arange(3.0), jnp.float32(0.1)


def one_round(t, keys, rest):
  """Draws at the top and inside a program that reads the rest too."""
  total, scale = rest
  first, second, third = jnp.unstack(jax.vmap(lambda key: jax.random.split(key, 3))(keys), axis=1)
  noise = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, t), (4,)))(first)
  shown = jax.vmap(lambda key: jax.random.randint(key, (), 0, 1_000))(second)

  @jax.jit
  def inside(total):
    return total + scale * jax.vmap(jax.random.uniform)(third) + t

  # Read twice, and handed over once.
  rank = shown * total + shown
  total = inside(total) + noise.sum(1)
  return {'total': total, 'rank': rank, 'shown': shown, 'last': third[-1]}


def data(tree):
  """Arrays of a tree in which keys are keys."""
  return [
    jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    for x in jax.tree.leaves(tree)
  ]


def test_the_halves_together_are_the_function_bit_for_bit():
  halves = hoist.split(one_round, 0, KEYS, REST)
  shown = []
  for t in range(3):
    expected = jax.jit(one_round)(t, KEYS, REST)
    actual = jax.jit(halves.finish)(jax.jit(halves.draw)(t, KEYS), t, REST)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for one, other in zip(data(actual), data(expected), strict=True):
      np.testing.assert_array_equal(one, other)
    shown.append(np.asarray(actual['total']))
  assert not np.array_equal(shown[0] + 1, shown[1]), 'another round draws other numbers'


def test_the_second_half_draws_nothing_and_rounds_no_less():
  halves = hoist.split(one_round, 0, KEYS, REST)
  drawn = halves.draw(0, KEYS)
  assert all(jnp.issubdtype(x.dtype, jnp.integer) for x in data(drawn))
  assert 'random_bits' in str(jax.make_jaxpr(one_round)(0, KEYS, REST))
  assert 'random_bits' in str(jax.make_jaxpr(halves.draw)(0, KEYS))
  assert 'random_bits' not in str(jax.make_jaxpr(halves.finish)(drawn, 0, REST))
