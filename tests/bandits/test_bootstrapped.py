"""One regression an arm, and copies of it under the Bayesian bootstrap."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.bootstrapped import bootstrapped, draw_arm_weights
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.beliefs.per_arm import per_arm
from tests.bandits import problems

KEY = jax.random.key(0)
SPEC = problems.SPEC


def test_linear_an_arm_is_the_disjoint_model():
  """`linear_disjoint` shares no code of the rows of arms."""
  rows, context = problems.feedback(0, 30, binary=False), problems.context(3)
  moments = []
  for belief in (per_arm(linear(2.0, 0.5)), linear_disjoint(2.0, 0.5)):
    state = problems.compiled(belief.update)(KEY, belief.init(KEY, SPEC), rows)
    moments.append(belief.predict(state, context))
    draws = belief.sample(KEY, state, context, 4_000)
    np.testing.assert_allclose(draws.var(axis=0), moments[-1][1], rtol=0.1)
  np.testing.assert_allclose(*moments, rtol=1e-3, atol=1e-5)


def counts():
  """The state is the weight that each row was told of."""
  return Belief(
    init=lambda key, spec: jnp.zeros(4_000),
    predict=lambda state, context: (state[:5], state[:5]),
    sample=lambda key, state, context, number: None,
    update=lambda key, state, feedback: state + feedback.weight,
  )


@pytest.mark.parametrize(('scale', 'accepted'), [(1.0, True), (1.5, False)])
def test_each_copy_weighs_each_row_by_an_exponential_number(scale, accepted):
  belief = bootstrapped(counts(), lambda key, state, ids: state, num_copies=2)
  rows = problems.feedback(0, 4_000)
  told = belief.update(KEY, belief.init(KEY, SPEC), rows).copies / rows.weight
  assert (stats.kstest(told.ravel(), stats.expon(scale=scale).cdf).pvalue > 1e-3) == accepted
  assert abs(np.corrcoef(told)[0, 1]) < 0.1


def test_copies_start_from_the_prior_and_end_where_the_weighted_rows_lead():
  """Least squares has a bootstrap distribution in closed form, White's sandwich."""
  num_rows = 400
  belief = bootstrapped(per_arm(linear(0.5)), draw_arm_weights, num_copies=2_000)
  state = belief.init(KEY, SPEC)
  context = dataclasses.replace(problems.context(0), query=jnp.array([1.0, 0.0, 0.0]))
  mean, variance = belief.predict(state, context)
  np.testing.assert_allclose(mean, 0, atol=0.15)
  np.testing.assert_allclose(variance, 2.0, rtol=0.15)
  rows = problems.feedback(1, num_rows, binary=False)
  arm = context.arm_ids[2]
  rows = dataclasses.replace(rows, arm_id=jnp.full(num_rows, arm), weight=jnp.ones(num_rows))
  learnt = problems.compiled(belief.update)(KEY, state, rows)
  x, y = np.asarray(rows.query, np.float64), np.asarray(rows.reward, np.float64)
  inverse = np.linalg.inv(x.T @ x)
  fitted = inverse @ x.T @ y
  sandwich = inverse @ (x.T * (y - x @ fitted) ** 2) @ x @ inverse
  mean, variance = belief.predict(learnt, context)
  np.testing.assert_allclose(mean[2], fitted[0], atol=0.01)
  np.testing.assert_allclose(variance[2], sandwich[0, 0], rtol=0.15)
  # Another arm is as it was, and a reset one as well.
  np.testing.assert_allclose(variance[1], 2.0, rtol=0.15)
  reset = belief.reset_arms(learnt, arm[None], jnp.zeros((1, 3)))
  assert problems.same_bits(reset, state)
