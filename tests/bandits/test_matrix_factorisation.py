"""The low-rank posterior: exact where one side is known, and able to find a low-rank matrix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.beliefs.matrix_factorisation import matrix_factorisation
from rec_jax.types import ArmSpec
from tests.bandits import problems

SPEC = problems.SPEC
KEY = jax.random.key(0)


def test_known_arms_make_it_a_regression_a_user():
  belief = matrix_factorisation(2.0, 0.5, rank=3)
  start = belief.init(KEY, SPEC)
  # Certain arms of length zero would tell nothing; certain ones do not move.
  arms = dataclasses.replace(start.arms, root=0 * start.arms.root)
  start = dataclasses.replace(start, arms=arms)
  feedback = problems.feedback(0, 40, binary=False)
  state = problems.compiled(belief.update)(KEY, start, feedback)
  assert problems.same_bits(state.arms, start.arms)
  vectors = np.asarray(start.arms.mean, np.float64)
  context = problems.context(3)
  own = np.asarray(feedback.user_id) == int(context.user_id)
  x = vectors[np.asarray(feedback.arm_id)[own]]
  w, r = (np.asarray(y, np.float64)[own] for y in (feedback.weight, feedback.reward))
  precision = np.sqrt(2.0 * 3) * np.eye(3) + (x * w[:, None]).T @ x / 0.5
  weights = np.linalg.solve(precision, x.T @ (w * r) / 0.5)
  candidates = vectors[np.asarray(context.arm_ids)]
  mean, variance = belief.predict(state, context)
  np.testing.assert_allclose(mean, candidates @ weights, rtol=1e-3, atol=1e-5)
  expected = np.sum(candidates @ np.linalg.inv(precision) * candidates, axis=1)
  np.testing.assert_allclose(variance, expected, rtol=1e-3)


def test_draws_have_the_predicted_moments():
  belief = matrix_factorisation(rank=4)
  state = problems.compiled(belief.update)(
    KEY, belief.init(KEY, SPEC), problems.feedback(0, 20, binary=False)
  )
  context = problems.context(3)
  mean, variance = belief.predict(state, context)
  draws = np.asarray(belief.sample(jax.random.key(1), state, context, 50_000), np.float64)
  np.testing.assert_allclose((draws.mean(axis=0) - mean) / np.sqrt(variance), 0, atol=0.03)
  np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.06)


def test_it_finds_a_matrix_of_low_rank():
  spec = ArmSpec(40, 40, 1, 1, num_users=40)
  rng = np.random.default_rng(0)
  matrix = rng.normal(size=(40, 2)) @ rng.normal(size=(2, 40)) / np.sqrt(2)
  # Half of the entries, each three times.
  seen = rng.permutation(1600)[:800]
  rows = rng.permutation(np.repeat(seen, 3))
  feedback = dataclasses.replace(
    problems.feedback(0, len(rows), spec),
    user_id=jnp.asarray(rows // 40, jnp.int32),
    arm_id=jnp.asarray(rows % 40, jnp.int32),
    reward=jnp.asarray(matrix.ravel()[rows] + 0.1 * rng.normal(size=len(rows)), jnp.float32),
    weight=jnp.ones(len(rows)),
  )
  belief = matrix_factorisation(1.0, 0.1, rank=2)
  state = problems.compiled(belief.update)(KEY, belief.init(KEY, spec), feedback)
  estimate = np.asarray(state.users.mean @ state.arms.mean.T)
  unseen = np.setdiff1d(np.arange(1600), seen)
  error = np.mean((estimate.ravel()[unseen] - matrix.ravel()[unseen]) ** 2)
  assert error < 0.1 * np.var(matrix)
