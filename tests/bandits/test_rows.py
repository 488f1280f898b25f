"""Rows are taken and put the same way alone and under vmap, whatever of it is batched."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.rows import put_row, take_row

S, U = 3, 5
RNG = np.random.default_rng(0)


def tree(*lead):
  return {
    'matrix': RNG.normal(size=(*lead, 2, 4)).astype(np.float32),
    'number': RNG.integers(9, size=lead).astype(np.int32),
  }


@pytest.mark.parametrize('batched', list(itertools.product([True, False], repeat=3)))
def test_vmap_is_a_loop(batched):
  sizes = [(S,) if each else () for each in batched]
  rows, index, row = tree(*sizes[0], U), RNG.integers(U, size=sizes[1]), tree(*sizes[2])
  index = jnp.asarray(index)
  if not any(batched):
    assert np.array_equal(take_row(rows, index)['matrix'], rows['matrix'][int(index)])
    expected = rows['matrix'].copy()
    expected[int(index)] = row['matrix']
    assert np.array_equal(put_row(rows, index, row)['matrix'], expected)
    return
  axes = tuple(0 if each else None for each in batched)
  put = jax.vmap(put_row, axes)(rows, index, row)
  taken = jax.vmap(take_row, axes[:2])(rows, index) if any(batched[:2]) else None
  for s in range(S):
    own = [
      jax.tree.map(lambda x, s=s: x[s], each) if has_axis else each
      for each, has_axis in zip((rows, index, row), batched, strict=True)
    ]
    for name, leaf in own[0].items():
      changed = leaf.copy()
      changed[int(own[1])] = own[2][name]
      np.testing.assert_array_equal(put[name][s], changed)
      if taken is not None:
        np.testing.assert_array_equal(taken[name][s], leaf[int(own[1])])
