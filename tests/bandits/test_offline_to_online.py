"""Bandits that start from a log against those that start cold, in regret."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.offline_to_online import importance_weights, pessimistic_start
from rec_jax.environments.base import Environment, known_metrics, outcome_rows
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec, Context, Feedback, InputError

K = 8
SPEC = ArmSpec(num_arms=K, num_candidates=K, query_dim=1, arm_dim=K)
NUM_ROUNDS, NUM_SEEDS, NUM_PESSIMISTIC, NOISE = 160, 24, 40, 0.3
# What the log knows best is good, and what it does not know is poor, or one of it better still.
POOR = np.array([0.6, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)
BETTER = np.where(np.arange(K) == 7, 0.9, POOR).astype(np.float32)


def observe(key, means, state, t):
  del key, means, state, t
  ones = jnp.ones((1, K), bool)
  return Context(
    jnp.zeros(1, jnp.int32), jnp.ones((1, 1)), jnp.eye(K)[None], jnp.arange(K)[None], ones
  )


def step(key, means, state, t, context, decision):
  del t
  reward = means[decision.index] + NOISE * jax.random.normal(key, decision.index.shape)
  metrics = known_metrics(context, decision, means[None], reward)
  return state, outcome_rows(context, decision, reward), metrics


ENVIRONMENT = Environment(lambda key, means: (), observe, step)


def log(arms, means):
  """Twenty rewards of each of some arms."""
  arm = np.repeat(arms, 20)
  reward = means[arm] + NOISE * np.random.default_rng(0).normal(size=len(arm))
  zeros, ones = jnp.zeros(len(arm), jnp.int32), jnp.ones(len(arm))
  reward = jnp.asarray(reward, jnp.float32)
  return Feedback(zeros, ones[:, None], jnp.eye(K)[arm], jnp.asarray(arm), ones, reward, ones)


def policy(settings):
  schedule = pessimistic_start(1.0, settings['until'])
  return bandits.make('lin_ucb', noise_variance=NOISE**2, alpha=schedule)


def regret(means, starts):
  """Start -> [seeds, rounds] of (log or None, pessimistic rounds); all see the same noise."""
  key, plain = jax.random.key(0), policy({'until': 0})
  update, empty = jax.jit(plain.update), plain.init(key, SPEC)
  states = [
    empty if logged is None else update(key, empty, logged) for logged, _ in starts.values()
  ]
  until = [
    pessimistic and pessimistic + len(logged.reward) for logged, pessimistic in starts.values()
  ]
  metrics = rollout(
    jnp.tile(jax.random.split(jax.random.key(1), NUM_SEEDS), len(starts)),
    policy,
    ENVIRONMENT,
    jnp.asarray(means),
    SPEC,
    NUM_ROUNDS,
    settings={'until': jnp.repeat(jnp.array(until), NUM_SEEDS)},
    policy_state=jax.tree.map(
      lambda *leaves: jnp.repeat(jnp.stack(leaves), NUM_SEEDS, axis=0), *states
    ),
  ).metrics
  gap = (metrics.best_expected_reward - metrics.expected_reward)[:, :, 0, 0]
  return dict(zip(starts, gap.reshape(len(starts), NUM_SEEDS, NUM_ROUNDS), strict=True))


def lower(better, worse):
  """Whether regret [seeds, rounds] is lower, by more than three paired standard errors."""
  difference = (worse - better).sum(1)
  return difference.mean() > 3 * difference.std(ddof=1) / np.sqrt(len(difference))


@pytest.mark.soak
def test_a_start_from_the_log_beats_a_cold_one_and_from_a_wrong_log_does_not():
  everything = np.arange(K)
  found = regret(
    POOR,
    {
      'cold': (None, 0),
      'warm': (log(everything, POOR), 0),
      'wrong': (log(everything, 0.7 - POOR), 0),
    },
  )
  assert lower(found['warm'], found['cold'])
  assert lower(found['cold'], found['wrong'])


@pytest.mark.parametrize(('means', 'pays'), [(POOR, True), (BETTER, False)])
def test_pessimism_pays_where_the_log_knows_the_best_and_stops_in_time_where_not(means, pays):
  logged = log(np.arange(2), means)
  starts = {'cold': (None, 0), 'optimistic': (logged, 0), 'pessimistic': (logged, NUM_PESSIMISTIC)}
  found = regret(means, starts)
  early, late = slice(NUM_PESSIMISTIC), slice(-NUM_PESSIMISTIC, None)
  optimistic, pessimistic = found['optimistic'], found['pessimistic']
  assert lower(pessimistic[:, early], optimistic[:, early]) == pays
  assert lower(optimistic[:, early], pessimistic[:, early]) != pays
  # The optimist inside has not forgotten what is left to try.
  assert pessimistic[:, late].mean() < 0.3 * found['cold'][:, early].mean()


def test_weights_make_the_log_uniform():
  propensity = jnp.array([0.5, 0.25, 0.25, 0.01])
  weight = importance_weights(propensity, 4, max_weight=2.0)
  np.testing.assert_allclose(weight, np.array([0.5, 1, 1, 2]) * 4 / 4.5, rtol=1e-6)
  np.testing.assert_allclose(importance_weights(jnp.full(3, 0.25), 4), 1)


def test_weights_undo_what_a_wrong_model_makes_of_the_log():
  # Rewards are those of the square; a line through the origin fits them where most rows are.
  x, share = np.array([1.0, 2.0]), np.array([0.9, 0.1])
  rows = np.repeat([0, 1], (900, 100))
  belief = bandits.make('lin_greedy', lambda_=1e-6)
  spec = ArmSpec(num_arms=2, num_candidates=2, query_dim=1, arm_dim=1)
  slopes = []
  for weight in (jnp.ones(1000), importance_weights(jnp.asarray(share[rows], jnp.float32), 2)):
    zeros, features = jnp.zeros(1000, jnp.int32), jnp.asarray(x[rows, None], jnp.float32)
    feedback = Feedback(zeros, features, features, zeros, weight, features[:, 0] ** 2, weight)
    state = belief.init(jax.random.key(0), spec)
    slopes.append(float(jax.jit(belief.update)(jax.random.key(0), state, feedback).belief.mean[0]))
  for slope, p in zip(slopes, (share, np.full(2, 0.5)), strict=True):
    assert slope == pytest.approx((p @ x**3) / (p @ x**2), rel=1e-3)


def test_the_schedule_is_lower_bounds_and_then_upper_ones():
  schedule = pessimistic_start(0.5, 10)
  np.testing.assert_array_equal(
    [schedule(count) for count in (0, 9, 10, 11)], [-0.5, -0.5, 0.5, 0.5]
  )
  with pytest.raises(InputError, match='alpha = -1'):
    pessimistic_start(-1.0, 10)
