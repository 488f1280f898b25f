"""EXP3 against its own arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.exp3 import Exp3Info, exp3
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
  np.testing.assert_allclose(state.belief[decision.arm_id[0]], 0.5 / 0.25)
