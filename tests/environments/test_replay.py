"""Replay by rejection: unbiased for fixed and for learning policies, and for uniform logs only."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.environments.matrix import matrix_data, matrix_environment, matrix_spec
from rec_jax.environments.replay import replay_data, replay_environment, replay_spec
from rec_jax.environments.rollout import rollout
from rec_jax.types import Decision, InputError


def uniform_log(num_rounds, num_actions, reward, context=None, seed=0):
  action = np.random.default_rng(seed).integers(num_actions, size=num_rounds)
  return LoggedFeedback(
    round=np.arange(num_rounds),
    user_id=np.full(num_rounds, ''),
    item_ids=np.arange(num_actions).astype(str),
    action=action,
    num_candidates=np.full(num_rounds, num_actions),
    position=np.zeros(num_rounds, int),
    propensity=np.full(num_rounds, 1 / num_actions),
    reward=reward(action),
    context=context,
  )


def play(policy, log, num_seeds=1, **options):
  data = replay_data(log)
  keys = jax.random.split(jax.random.key(1), num_seeds)
  return rollout(
    keys, policy, replay_environment(), data, replay_spec(data), len(log.action), **options
  )


def test_the_value_of_a_fixed_policy_is_unbiased():
  # Two kinds of context; the policy takes arm 2 in the first kind and arm 0 in the second.
  rng = np.random.default_rng(0)
  mean = np.array([[0.1, 0.2, 0.9, 0.4], [0.6, 0.3, 0.1, 0.5]])
  kind = (rng.random(20_000) < 0.3).astype(int)
  log = uniform_log(
    20_000, 4, lambda action: (rng.random(20_000) < mean[kind, action]) * 1.0, kind[:, None]
  )

  def select(key, state, context):
    index = jnp.where(context.query[0] > 0, 0, 2)[None]
    return Decision(index, index, jnp.full(1, jnp.nan), info=None)

  metrics = play(bandits.make('uniform')._replace(select=select), log).metrics
  matched = metrics.arm_id[0, :, 0, 0] >= 0
  reward = metrics.reward[0, :, 0, 0]
  chosen = np.where(kind == 1, 0, 2)
  np.testing.assert_array_equal(matched, chosen == log.action)
  assert not reward[~matched].any()
  estimate, value = reward[matched].mean(), 0.7 * 0.9 + 0.3 * 0.6
  error = np.sqrt(value * (1 - value) / matched.sum())
  assert abs(estimate - value) < 4 * error < abs(estimate - value / 1.5)


@pytest.mark.soak
def test_a_learning_policy_earns_what_it_earns_online():
  rewards, num_kept, num_seeds = np.array([0.1, 0.5, 0.9]), 25, 64
  log = uniform_log(400, 3, lambda action: rewards[action])
  policy = bandits.make('gaussian_ts', noise_variance=0.1)
  replayed = play(policy, log, num_seeds, return_state=True)
  data = matrix_data(rewards[None])
  keys = jax.random.split(jax.random.key(2), num_seeds)
  online = rollout(keys, policy, matrix_environment(), data, matrix_spec(data), num_kept)
  kept = []
  for seed in range(num_seeds):
    matched = np.flatnonzero(replayed.metrics.arm_id[seed, :, 0, 0] >= 0)
    assert len(matched) >= num_kept
    kept.append(replayed.metrics.reward[seed, matched[:num_kept], 0, 0].mean())
  lived = online.metrics.reward[:, :, 0, 0].mean(1)
  error = np.sqrt((np.var(kept) + np.var(lived)) / num_seeds)
  # One that learns nothing earns 0.5.
  assert abs(np.mean(kept) - lived.mean()) < 4 * error < np.mean(kept) - 0.5
  # Matched rounds and no others have taught it.
  taught = np.sum(replayed.metrics.arm_id >= 0, axis=(1, 2, 3))
  np.testing.assert_array_equal(replayed.policy_state.explorer, taught)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'propensity': np.array([0.5, 0.5, 0.4])}, r'propensity, row 2: 0.4 is not 1 / 2; .* uniform'),
    ({'propensity': np.array([0.5, 0.5001, 0.5])}, 'propensity, row 1: 0.5001 is not 1 / 2'),
    ({'num_candidates': np.array([2, 1, 2])}, 'num_candidates, row 1: chosen from 1 of 2 items'),
  ],
)
def test_a_log_that_is_not_uniform_is_refused(change, message):
  log = dataclasses.replace(uniform_log(3, 2, lambda action: action * 1.0), **change)
  with pytest.raises(InputError, match=message) as error:
    replay_data(log)
  assert '\n' not in str(error.value)
