"""What tests compute by NumPy outside `jax.jit` has the bits and types that XLA gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.helpers import eager_numpy

RNG = np.random.default_rng(0)
X = jnp.asarray(np.append(RNG.normal(size=10), [0.0, -0.0]).reshape(3, 4), jnp.float32)
Y = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
ODD = jnp.asarray([[np.nan, np.inf, -np.inf, 1e-40]] * 3, jnp.float32)
INTEGERS = jnp.asarray(RNG.integers(-2_000_000_000, 2_000_000_000, (3, 4)), jnp.int32)
PROGRAMS = {
  'add': lambda: (X + Y, X + 1, INTEGERS + INTEGERS, ODD + X),
  'sub, neg, abs': lambda: (X - Y, -X, jnp.abs(INTEGERS), 1 - ODD),
  'mul': lambda: (X * Y, INTEGERS * 7, ODD * X),
  'div': lambda: (X / Y, 1 / X, ODD / ODD),
  'extremes': lambda: (jnp.maximum(X, ODD), jnp.minimum(X, Y), X.max(0), INTEGERS.min()),
  'comparisons': lambda: (X == X, X != ODD, X < Y, X <= Y, ODD > Y, ODD >= Y),
  'bits': lambda: ((X > 0) & (Y > 0), (X > 0) | (Y > 0), ~(X > 0), INTEGERS ^ 5, ~INTEGERS),
  'logic': lambda: ((X > 0).all(1), (X > 0).any(), jnp.isfinite(ODD)),
  'powers': lambda: (lax.integer_pow(X, 2), X**3, jnp.square(ODD)),
  'choice': lambda: (jnp.where(X > 0, X, 0), jnp.where(True, 1, 2.5)),
  'types': lambda: (X.astype(jnp.int32), (X > 0).astype(jnp.float32), INTEGERS.astype(jnp.uint8)),
  'half': lambda: (X.astype(jnp.bfloat16), X.astype(jnp.bfloat16) * 3),
  'new': lambda: (jnp.zeros((2, 3)), jnp.full(3, 2), jnp.arange(5), lax.iota(jnp.float32, 4)),
  'shape': lambda: (X.T, X.reshape(2, 6), X[None], X[:1].squeeze(), jnp.broadcast_to(X[0], (2, 4))),
  'parts': lambda: (X[1], X[0, 1:3], X[::2, ::-1], lax.dynamic_slice(X, (2, 3), (2, 2)), X[-1]),
  'joins': lambda: (jnp.concatenate([X, Y]), jnp.stack([X, Y], 1), jnp.pad(X, ((1, 0), (0, 2)))),
  'sums': lambda: (INTEGERS.sum(), (X > 0).sum(0)),
}


@pytest.fixture(scope='module')
def by_xla():
  """All at once, in a program that is compiled as any other."""
  every = jax.jit(lambda: {name: program() for name, program in PROGRAMS.items()})
  return every.lower().compile()()


@pytest.mark.parametrize('name', PROGRAMS)
def test_numpy_and_xla_agree_to_the_bit(by_xla, name):
  for found, expected in zip(PROGRAMS[name](), by_xla[name], strict=True):
    assert (found.dtype, found.weak_type) == (expected.dtype, expected.weak_type)
    np.testing.assert_array_equal(found, expected)
    signs = [np.signbit(np.asarray(each, np.float32)) for each in (found, expected)]
    np.testing.assert_array_equal(*(np.where(np.isnan(found), False, sign) for sign in signs))


def test_no_program_is_compiled_for_them(monkeypatch):
  def compiled(*args, **options):
    pytest.fail('a program was compiled')

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr('jax._src.compiler.backend_compile_and_load', compiled)
    # Of a shape that nothing else has.
    rows = jnp.zeros((7, 11)) + 1
    assert jnp.where(rows > 0, rows * 2, rows)[3].shape == (11,)


@pytest.mark.parametrize(
  'program',
  [
    lambda x: jnp.exp(x),
    lambda x: x // 0.3,
    lambda x: jax.random.key(0),
    lambda x: lax.fori_loop(0, 3, lambda i, y: y + 1, x),
  ],
)
def test_what_numpy_would_round_otherwise_is_left_to_xla(program):
  assert not eager_numpy._runs_left(jax.make_jaxpr(program)(X))


def test_a_sum_that_hangs_on_its_order_is_left_to_xla():
  with pytest.raises(eager_numpy._UnlikeXLAError):
    eager_numpy._evaluate(jax.make_jaxpr(jnp.sum)(X), [X])


def test_numbers_of_64_bits_keep_them():
  with jax.enable_x64():
    third = jnp.asarray(1.0, jnp.float64) / 3
  assert third[None].dtype == (third + third).dtype == jnp.float64
  assert float(third + third) == 2 / 3
