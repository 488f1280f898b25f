"""What VDBE hears: every row's own change, also of beliefs that learn at their refresh."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.ensemble import ensemble
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.network import adam
from rec_jax.bandits.explorers.vdbe import vdbe
from rec_jax.bandits.policy import combine
from tests.bandits import problems

KEY = jax.random.key(0)


def test_rows_of_a_batch_change_the_rate_one_after_the_other():
  policy = problems.jitted(combine(gaussian(), vdbe(sensitivity=0.5, step_size=0.25)))
  rows = problems.feedback(3, 8)
  # All of one arm: after the batch its mean has moved once, row by row ever less.
  rows = dataclasses.replace(rows, arm_id=jnp.full(8, 2, jnp.int32))
  at_once = one_by_one = policy.init(KEY, problems.SPEC)
  at_once = policy.update(KEY, at_once, rows)
  for i in range(8):
    row = jax.tree.map(lambda x, i=i: x[i : i + 1], rows)
    one_by_one = policy.update(KEY, one_by_one, row)
  np.testing.assert_allclose(at_once.explorer, one_by_one.explorer, rtol=1e-5)
  np.testing.assert_allclose(at_once.belief.total, one_by_one.belief.total, rtol=1e-6)
  # By hand: means t / (w + 1) of the unit prior, Tokic's step for each.
  epsilon, weight, total = 1.0, 0.0, 0.0
  for reward, w in zip(np.asarray(rows.reward), np.asarray(rows.weight), strict=True):
    before = total / (weight + 1)
    weight, total = weight + w, total + w * reward
    change = abs(total / (weight + 1) - before)
    epsilon += 0.25 * (np.tanh(change / 0.5 / 2) - epsilon)
  np.testing.assert_allclose(at_once.explorer, epsilon, rtol=1e-4)


@pytest.mark.soak
def test_a_network_that_learns_at_its_refresh_is_watched_there():
  belief = ensemble(num_members=2, hidden=4, capacity=32, fit=adam(num_steps=50))
  policy = problems.jitted(combine(belief, vdbe(sensitivity=0.01, step_size=0.1)))
  state = policy.init(KEY, problems.SPEC)
  rows = dataclasses.replace(problems.feedback(4, 20), reward=jnp.full(20, 3.0))
  rows = dataclasses.replace(rows, weight=rows.weight.at[:5].set(0))
  after = policy.update(KEY, state, rows)
  # Nothing was learnt yet, so nothing is known of how much there is to learn.
  assert after.explorer == 1
  moved = policy.refresh(KEY, after)
  assert 0.5 < moved.explorer <= 1
  # What has been told is not told again.
  still = policy.refresh(KEY, moved)
  assert still.explorer == moved.explorer
  # The same rewards again teach little: exploring fades.
  wide = problems.jitted(combine(belief, vdbe(sensitivity=50.0, step_size=0.1)))
  settled = wide.refresh(KEY, wide.update(KEY, wide.init(KEY, problems.SPEC), rows))
  assert settled.explorer == pytest.approx(0.9**15, abs=0.05)
  assert wide.refresh(KEY, settled).explorer == settled.explorer


def test_only_the_last_rows_wait_and_padding_pushes_none_of_them_out():
  belief = ensemble(num_members=2, hidden=4, capacity=32, fit=adam(num_steps=1))
  policy = problems.jitted(combine(belief, vdbe(sensitivity=1e6, step_size=0.01)))
  state = policy.update(KEY, policy.init(KEY, problems.SPEC), problems.feedback(5, 300))
  assert policy.refresh(KEY, state).explorer == pytest.approx(0.99**256, rel=1e-3)
  rows = problems.feedback(5, 300)
  few = dataclasses.replace(rows, weight=(jnp.arange(300) < 10).astype(jnp.float32))
  state = policy.init(KEY, problems.SPEC)
  for _ in range(2):
    state = policy.update(KEY, state, few)
  assert policy.refresh(KEY, state).explorer == pytest.approx(0.99**20, rel=1e-3)
