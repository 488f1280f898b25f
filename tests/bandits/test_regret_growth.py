"""Regret grows more slowly than the rounds where theory says so, and with them elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.types import ArmSpec, Context
from tests.bandits import problems

SPEC = ArmSpec(num_arms=5, num_candidates=5, query_dim=1, arm_dim=3)
CHANCES = jnp.array([0.8, 0.4, 0.5, 0.3, 0.45])
WEIGHTS = jnp.array([1.0, -1.5, 0.8])
NUM_ROUNDS, NUM_SEEDS = 2_000, 16


def arms(key, context):
  """Coins, one an arm."""
  return CHANCES[context.arm_ids], jax.random.bernoulli(key, CHANCES).astype(jnp.float32)


def plane(key, context):
  """Features . weights with noise; the candidates are new ones at each round."""
  expected = context.features @ WEIGHTS
  return expected, expected + 0.5 * jax.random.normal(key, expected.shape)


def ucb1_width(count):
  """sqrt(2 ln t), which times 1 / sqrt(n) is the width of UCB1 (Auer et al. 2002, figure 1)."""
  return jnp.sqrt(2 * jnp.log(count + 1.0))


def decaying(count):
  """c K / (d^2 t) with c K / d^2 = 50 (Auer et al. 2002, figure 3)."""
  return jnp.minimum(1.0, 50 / (count + 1.0))


# Each with its bounds on the exponent of T.
CASES = {
  'bernoulli_ts': (arms, {}, 0.0, 0.6),
  'gaussian_ucb': (arms, {'lambda_': 1e-3, 'noise_variance': 1.0, 'alpha': ucb1_width}, 0.0, 0.75),
  'ucb1': (arms, {}, 0.0, 0.75),
  'kl_ucb': (arms, {}, 0.0, 0.6),
  'moss': (arms, {'horizon': 1_000.0}, 0.0, 0.6),
  'perturbed_history': (arms, {}, 0.0, 0.75),
  # Without a query that tells anything, one cell in which all rows count.
  'tree_ts': (arms, {'depth': 1, 'capacity': 8}, 0.0, 0.6),
  'bootstrapped_logistic_ts': (arms, {}, 0.0, 0.8),
  'bootstrapped_logistic_ucb': (arms, {}, 0.0, 0.8),
  'epsilon_greedy decaying': (arms, {'epsilon': decaying, 'a0': 1.0, 'b0': 1.0}, 0.0, 0.6),
  'epsilon_greedy constant': (arms, {'epsilon': 0.3, 'a0': 1.0, 'b0': 1.0}, 0.8, 1.1),
  'uniform': (arms, {}, 0.97, 1.03),
  'lin_ts': (plane, {'noise_variance': 0.25}, 0.0, 0.6),
  'lin_elimination': (plane, {'noise_variance': 0.25, 'alpha': 2.0}, 0.0, 0.9),
  'lin_ucb': (plane, {'noise_variance': 0.25, 'alpha': 2.0}, 0.0, 0.6),
}


def run(policy, world, key):
  """[T] regret of one seed."""

  def body(state, key):
    features_key, select_key, reward_key, update_key = jax.random.split(key, 4)
    context = Context(
      user_id=jnp.int32(0),
      query=jnp.ones(1),
      features=jax.random.normal(features_key, (5, 3)) / np.sqrt(3),
      arm_ids=jnp.arange(5),
      mask=jnp.ones(5, bool),
    )
    expected, rewards = world(reward_key, context)
    decision = policy.select(select_key, state, context)
    chosen = decision.index[0]
    feedback = problems.outcome(context, decision, rewards[chosen])
    return policy.update(update_key, state, feedback), jnp.max(expected) - expected[chosen]

  init_key, key = jax.random.split(key)
  state = policy.init(init_key, SPEC)
  return jax.lax.scan(body, state, jax.random.split(key, NUM_ROUNDS))[1]


@pytest.mark.parametrize('case', CASES)
def test_the_exponent_of_regret_from_a_quarter_of_the_rounds_to_all(case):
  world, values, low, high = CASES[case]
  policy = bandits.make(case.split()[0], **values)
  play = problems.compiled(jax.vmap(functools.partial(run, policy, world)))
  regret = np.cumsum(play(jax.random.split(jax.random.key(0), NUM_SEEDS)).mean(axis=0))
  exponent = np.log(regret[-1] / regret[NUM_ROUNDS // 4 - 1]) / np.log(4)
  assert low < exponent < high
