"""Delays: a hand-computed schedule, conserved weight, and none at all with a delay of 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rec_jax import bandits
from rec_jax.environments.delayed import (
  delayed,
  fixed_delay,
  geometric_delay,
  longest_geometric_delay,
  uniform_delay,
)
from rec_jax.environments.rollout import rollout
from rec_jax.environments.synthetic import LinearData, linear_environment
from rec_jax.types import ArmSpec, Decision

SPEC = ArmSpec(num_arms=6, num_candidates=6, query_dim=4, arm_dim=4, slate_size=2, num_users=3)
DATA = LinearData(noise_variance=jnp.float32(0.05))
ENVIRONMENT = linear_environment(6, 4, num_users=3)
KEYS = jax.random.split(jax.random.key(0), 4)


def no_delay(key, shape):
  return jnp.zeros(shape, jnp.int32)


def played(sample_delay, max_delay, num_rounds):
  """(feedback of each round, the undelayed feedback, state at the end), of NumPy arrays."""
  environment = delayed(ENVIRONMENT, sample_delay, max_delay, bandits.make('uniform'), SPEC)
  key = jax.random.key(1)

  @jax.jit  # One program instead of one for each operation.
  def play(state, t):
    step_key = jax.random.fold_in(key, t)
    context = environment.observe(step_key, DATA, state, t)
    index = jnp.array([[0, 1], [2, 3], [4, 5]])
    decision = Decision(index, index, jnp.full((3, 2), t, jnp.float32), info=None)
    undelayed = ENVIRONMENT.step(step_key, DATA, state.inner, t, context, decision)[1]
    state, feedback, _ = environment.step(step_key, DATA, state, t, context, decision)
    return state, feedback, undelayed

  state, arrived, made = jax.jit(environment.init)(key, DATA), [], []
  for t in range(num_rounds):
    state, feedback, undelayed = play(state, t)
    arrived.append(feedback)
    made.append(undelayed)
  return jax.device_get((arrived, made, state))


def row_of(feedback, row):
  return jax.tree.map(lambda x: x[row], feedback)


def test_rows_arrive_by_a_schedule_computed_by_hand():
  # Users 0, 1 and 2 wait -4, 2 and 9 rounds; the first is cut to 0 and the last to 3.
  arrived, made, _ = played(lambda key, shape: jnp.array([-4, 2, 9]), 3, 6)
  expected = {
    0: [(0, 0)],
    1: [(1, 0)],
    2: [(0, 1), (2, 0)],
    3: [(0, 2), (1, 1), (3, 0)],
    4: [(1, 2), (2, 1), (4, 0)],
    5: [(2, 2), (3, 1), (5, 0)],
  }
  for t, feedback in enumerate(arrived):
    assert feedback.weight.shape == (4 * 3 * 2,)
    due = np.flatnonzero(feedback.weight)
    # Both positions of a slate, the oldest round first; the propensity tells the round.
    found = list(zip(feedback.propensity[due], feedback.user_id[due], strict=True))
    assert found == [pair for pair in expected[t] for _ in range(2)]
    for row in due:
      user, position = int(feedback.user_id[row]), int(feedback.arm_id[row]) % 2
      of_round = made[int(feedback.propensity[row])]
      jax.tree.map(
        np.testing.assert_array_equal, row_of(feedback, row), row_of(of_round, 2 * user + position)
      )


def test_delays_have_a_stream_that_no_environment_draws_from():
  seen = []

  def watched(key, shape):
    jax.debug.callback(lambda words: seen.append(words.tolist()), jax.random.key_data(key))
    return no_delay(key, shape)

  played(watched, 1, 1)
  jax.effects_barrier()
  step_key = jax.random.fold_in(jax.random.key(1), 0)
  others = [step_key, *jax.random.split(step_key, 8)]
  assert seen and seen[0] not in [jax.random.key_data(key).tolist() for key in others]


def test_total_weight_is_kept_but_for_what_is_under_way():
  arrived, made, state = played(geometric_delay(2.0), 5, 12)
  under_way = np.sum(state.rows.weight * (state.rounds_left >= 0))
  assert under_way > 0
  total = sum(np.sum(feedback.weight) for feedback in arrived)
  assert total + under_way == 12 * 3 * 2 == sum(np.sum(feedback.weight) for feedback in made)
  reward = sum(np.sum(feedback.weight * feedback.reward) for feedback in arrived)
  reward += np.sum(state.rows.weight * (state.rounds_left >= 0) * state.rows.reward)
  assert reward == pytest.approx(sum(float(np.sum(row.reward)) for row in made), abs=1e-4)


# EXP3 wants its own propensity back with the outcome, for slates of one.
@pytest.mark.parametrize(
  ('name', 'slate_size'), [pytest.param('gaussian_ts', 2, marks=pytest.mark.soak), ('exp3', 1)]
)
def test_without_delay_the_run_is_that_of_the_environment_itself(name, slate_size):
  policy, spec = bandits.make(name), SPEC._replace(slate_size=slate_size)
  plain = rollout(KEYS, policy, ENVIRONMENT, DATA, spec, 20, return_state=True)
  wrapped = rollout(
    KEYS,
    policy,
    delayed(ENVIRONMENT, no_delay, 3, policy, spec),
    DATA,
    spec,
    20,
    return_state=True,
  )
  np.testing.assert_array_equal(plain.metrics.arm_id, wrapped.metrics.arm_id)
  np.testing.assert_array_equal(plain.metrics.reward, wrapped.metrics.reward)
  states = zip(*map(jax.tree.leaves, (plain.policy_state, wrapped.policy_state)), strict=True)
  for one, other in states:
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_geometric_delays_have_their_mean_and_their_tail():
  delays = np.array(geometric_delay(3.0)(jax.random.key(0), (20_000,)))
  # Variance m (1 + m) = 12: four standard errors are 0.1.
  assert abs(delays.mean() - 3) < 0.1 < abs(delays.mean() - 1.5 * 3)
  assert abs(np.mean(delays == 0) - 0.25) < 0.0125
  longest = longest_geometric_delay(3.0)
  assert 0.75 ** (longest + 1) <= 1e-3 < 0.75**longest


def test_fixed_delays_are_all_the_same_and_uniform_ones_equally_likely():
  assert set(fixed_delay(3.0)(jax.random.key(0), (50,)).tolist()) == {3}
  counts = np.bincount(uniform_delay(1.5)(jax.random.key(0), (20_000,)), minlength=4)
  assert len(counts) == 4
  assert stats.chisquare(counts).pvalue > 1e-3
  assert stats.chisquare(counts, counts.sum() * np.array([0.375, 0.25, 0.25, 0.125])).pvalue < 1e-4
