"""What FALCON sees is what was known when the epoch began, though rows come in batches."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.per_epoch import epoch_start, per_epoch
from rec_jax.bandits.beliefs.per_user import per_user
from rec_jax.bandits.beliefs.residual import residual
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


def one_arm(number, arm=0):
  """Rewards of 1 of one arm and user 0."""
  rows = problems.feedback(2, number)
  same, ones = jnp.zeros(number, jnp.int32), jnp.ones(number)
  return dataclasses.replace(rows, user_id=same, arm_id=same + arm, reward=ones, weight=ones)


def test_a_reset_arm_and_a_reset_user_are_as_new_in_what_is_seen():
  arms = dataclasses.replace(CONTEXT, arm_ids=jnp.arange(5), user_id=jnp.int32(0))
  belief = per_epoch(beta_bernoulli())
  state = belief.update(KEY, belief.init(KEY, problems.SPEC), one_arm(4))
  # Beta(1 + 4, 1) of four rewards, and Beta(1, 1).
  assert belief.predict(state, arms)[0][0] == pytest.approx(5 / 6)
  state = belief.reset_arms(state, jnp.array([0]), jnp.zeros((1, 3)))
  assert belief.predict(state, arms)[0][0] == pytest.approx(1 / 2)
  belief = per_epoch(per_user(beta_bernoulli()))
  state = belief.update(KEY, belief.init(KEY, problems.SPEC), one_arm(4))
  assert belief.predict(state, arms)[0][0] == pytest.approx(5 / 6)
  state = belief.reset_users(KEY, state, jnp.array([0]), problems.SPEC)
  assert belief.predict(state, arms)[0][0] == pytest.approx(1 / 2)


def test_what_comes_back_is_of_what_learns_and_not_of_what_is_seen():
  belief = per_epoch(residual(beta_bernoulli(), linear()))
  arms = dataclasses.replace(CONTEXT, arm_ids=jnp.arange(5))
  state, info = belief.init(KEY, problems.SPEC), None
  for _ in range(3):
    info = belief.info(state, arms, jnp.int32(0))
    rows = dataclasses.replace(one_arm(1), info=jax.tree.map(lambda x: x[None], info))
    state = belief.update(KEY, state, rows)
  # Two rewards were learnt before the third, whose epoch began after the second; then three.
  assert info.base_mean == pytest.approx(3 / 4)
  assert belief.info(state, arms, jnp.int32(0)).base_mean == pytest.approx(4 / 5)


def test_a_refit_within_an_epoch_is_not_seen():
  belief = per_epoch(
    beta_bernoulli()._replace(refresh=lambda key, state: jax.tree.map(lambda x: x + 1, state))
  )
  arms = dataclasses.replace(CONTEXT, arm_ids=jnp.arange(5))
  state = belief.update(KEY, belief.init(KEY, problems.SPEC), one_arm(2))
  state = belief.update(KEY, belief.refresh(KEY, state), one_arm(1))
  assert belief.predict(state, arms)[0][0] == pytest.approx(3 / 4)
  # The fourth row begins an epoch: Beta(1 + 2 + 1 + 2, 1 + 1).
  state = belief.update(KEY, state, one_arm(1))
  assert belief.predict(state, arms)[0][0] == pytest.approx(6 / 8)
