"""Packed symmetric matrices against dense ones, of odd and even size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits import packed


@pytest.mark.parametrize('dim', [1, 2, 3, 4, 7, 8])
def test_packed_is_dense(dim):
  rng = np.random.default_rng(dim)
  roots = rng.normal(size=(5, dim, dim)).astype(np.float32)
  dense = roots @ roots.transpose(0, 2, 1)
  x = rng.normal(size=dim).astype(np.float32)
  rows = jax.vmap(packed.pack)(dense)
  assert rows[0].size == dim * (dim + 1) // 2
  expected = np.einsum('nij,i,j->n', dense, x, x)
  np.testing.assert_allclose(packed.quadratic_forms(rows, x), expected, rtol=1e-4)
  np.testing.assert_array_equal(packed.square(x), packed.pack(np.outer(x, x)))
  for index in range(dim):
    changed = dense[0].copy()
    changed[index] = changed[:, index] = x
    actual = packed.with_row(rows[0], x, jnp.int32(index))
    np.testing.assert_array_equal(actual, packed.pack(changed))
