"""EXP3 against its own arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.exp3 import Exp3Info, exp3
from rec_jax.types import Context, Feedback
from tests.bandits import problems


def test_weights_and_mixture_follow_the_paper():
  policy = problems.jitted(exp3(learning_rate=0.1, mixing=0.2))
  state = policy.init(jax.random.key(0), problems.SPEC)
  total = np.zeros(problems.SPEC.num_arms)
  context = problems.context(0)
  for seed in range(8):
    key = jax.random.key(seed)
    probabilities = policy.probabilities(key, state, context)[:, 0]
    mask, arms = np.asarray(context.mask), np.asarray(context.arm_ids)
    weights = np.where(mask, np.exp(0.1 * total[arms]), 0)
    expected = 0.8 * weights / weights.sum() + 0.2 * mask / mask.sum()
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    decision = policy.select(key, state, context)
    chosen = int(decision.index[0])
    np.testing.assert_allclose(decision.info.propensity[0], expected[chosen], rtol=1e-4)
    state = policy.update(key, state, problems.outcome(context, decision, 1.0))
    total[arms[chosen]] += 1 / expected[chosen]


def test_no_other_can_tell_what_exp3_wants_back():
  assert exp3().info is None


def test_the_propensity_is_that_of_the_decision_however_late_the_outcome():
  policy = exp3(learning_rate=0.5)
  state = policy.init(jax.random.key(0), problems.SPEC)
  context = problems.context(0)
  decision = policy.select(jax.random.key(0), state, context)
  late = problems.outcome(context, decision, 1.0).replace(info=Exp3Info(jnp.array([0.25])))
  state = policy.update(jax.random.key(1), state, late)
  np.testing.assert_allclose(state.belief.log_weight[decision.arm_id[0]], 0.5 / 0.25)


def test_a_new_arm_is_as_likely_as_the_others_whatever_rows_are_empty():
  policy = exp3(learning_rate=0.01)
  spec = problems.SPEC._replace(num_arms=16, num_candidates=16)
  state = policy.init(jax.random.key(0), spec)
  row = np.ones(8, np.float32)
  # Of eight arms each has the log weight 0.01 / (1 / 1900) = 19.
  info = Exp3Info(row / 1900)
  query, features = np.zeros((8, spec.query_dim)), np.zeros((8, spec.arm_dim))
  arms = np.arange(16, dtype=np.int32)
  learnt = Feedback(0 * arms[:8], query, features, arms[:8], row, row, row, info)
  state = policy.update(jax.random.key(0), state, learnt)
  state = policy.reset_arms(state, jnp.array([8]), features[:1])
  context = Context(np.int32(0), query[0], np.zeros((16, spec.arm_dim)), arms, arms < 9)
  chances = policy.probabilities(jax.random.key(0), state, context)[:9, 0]
  np.testing.assert_allclose(chances, 1 / 9, rtol=1e-5)
