"""What FALCON sees is what was known when the epoch began, though rows come in batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.per_epoch import epoch_start, per_epoch
from tests.bandits import problems

KEY = jax.random.key(0)
CONTEXT = problems.context(50)


def test_epochs_begin_at_powers_of_two():
  starts = jax.vmap(epoch_start)(jnp.arange(10))
  np.testing.assert_array_equal(starts, [0, 1, 2, 2, 4, 4, 4, 4, 8, 8])
  assert epoch_start(jnp.int32(2**31 - 1)) == 2**30


@pytest.mark.parametrize('batch', [1, 7])
def test_means_stand_still_within_an_epoch_and_are_those_of_its_start(batch):
  rows = problems.feedback(1, 21)
  # Padding does not make an epoch longer.
  rows = dataclasses.replace(rows, weight=rows.weight.at[::5].set(0))
  plain, frozen = linear(), per_epoch(linear())
  learn, update = problems.compiled(plain.update), problems.compiled(frozen.update)
  state, expected = frozen.init(KEY, problems.SPEC), plain.init(KEY, problems.SPEC)
  means = [expected]
  for i in range(21):
    row = jax.tree.map(lambda x, i=i: x[i : i + 1], rows)
    expected = learn(KEY, expected, row)
    if rows.weight[i] != 0:
      means.append(expected)
  for first in range(0, 21, batch):
    part = jax.tree.map(lambda x, first=first: x[first : first + batch], rows)
    state = update(KEY, state, part)
    start = int(epoch_start(state.count))
    seen, _ = frozen.predict(state, CONTEXT)
    np.testing.assert_allclose(seen, plain.predict(means[start], CONTEXT)[0], rtol=1e-4, atol=1e-6)
    learnt = means[int(state.count)]
    np.testing.assert_allclose(state.learning.mean, learnt.mean, rtol=1e-4, atol=1e-6)
  assert state.count == len(means) - 1
