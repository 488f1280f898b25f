"""Regret grows more slowly than the rounds where theory says so, and with them elsewhere."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.beliefs import network
from rec_jax.types import ArmSpec, Context
from tests.bandits import problems

SPEC = ArmSpec(num_arms=5, num_candidates=5, query_dim=1, arm_dim=3)
GRID = ArmSpec(num_arms=32, num_candidates=32, query_dim=1, arm_dim=1)
CHANCES = jnp.array([0.8, 0.4, 0.5, 0.3, 0.45])
WEIGHTS = jnp.array([1.0, -1.5, 0.8])
NUM_ROUNDS, NUM_SEEDS, NUM_BLOCKS = 2_000, 16, 20


def arms(key, context):
  """Coins, one an arm."""
  return CHANCES[context.arm_ids], jax.random.bernoulli(key, CHANCES).astype(jnp.float32)


def plane(key, context):
  """Features . weights with noise; the candidates are new ones at each round."""
  expected = context.features @ WEIGHTS
  return expected, expected + 0.5 * jax.random.normal(key, expected.shape)


def odds(key, context):
  """Coins, one a candidate, whose log-odds are features . weights."""
  expected = jax.nn.sigmoid(2 * context.features @ WEIGHTS)
  return expected, jax.random.bernoulli(key, expected).astype(jnp.float32)


def plateau(key, context):
  """Coins that are good on a third of [0, 1], whose place the sign of the query tells."""
  action, best = context.features[:, 0], 0.5 + 0.25 * context.query[0]
  chances = jnp.where(jnp.abs(action - best) < 1 / 6, 0.9, 0.2)
  return chances, jax.random.bernoulli(key, chances).astype(jnp.float32)


def cube_root(count):
  """t^(-1/3), as theory asks of a uniform choice that competes with a smoothed policy."""
  return (count + 1.0) ** (-1 / 3)


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
  'tree_ts': (arms, {'depth': 1, 'capacity': NUM_ROUNDS}, 0.0, 0.6),
  # Likewise all queries are one cluster, and all outcomes neighbours at distance 0.
  'clusters_ts': (arms, {'capacity': NUM_ROUNDS}, 0.0, 0.6),
  'within_ts': (arms, {'capacity': NUM_ROUNDS}, 0.0, 0.6),
  # Of rows equally far the first five are the neighbours for ever: it stops learning.
  'nearest_ts': (arms, {'capacity': NUM_ROUNDS}, 0.9, 1.1),
  'bootstrapped_logistic_ts': (arms, {}, 0.0, 0.8),
  'bootstrapped_logistic_ucb': (arms, {}, 0.0, 0.8),
  'epsilon_greedy decaying': (arms, {'epsilon': decaying, 'a0': 1.0, 'b0': 1.0}, 0.0, 0.6),
  'epsilon_greedy constant': (arms, {'epsilon': 0.3, 'a0': 1.0, 'b0': 1.0}, 0.8, 1.1),
  'uniform': (arms, {}, 0.97, 1.03),
  'lin_ts': (plane, {'noise_variance': 0.25}, 0.0, 0.6),
  'lin_elimination': (plane, {'noise_variance': 0.25, 'alpha': 2.0}, 0.0, 0.9),
  'lin_ucb': (plane, {'noise_variance': 0.25, 'alpha': 2.0}, 0.0, 0.6),
  # Uniform at sqrt(K / t) of the rounds, which alone costs as sqrt(T), whatever is regressed.
  'lin_cover': (plane, {}, 0.4, 0.7),
  'lin_cover ips': (plane, {'estimator': 'ips'}, 0.4, 0.7),
  'lin_cover dr': (plane, {'estimator': 'dr'}, 0.4, 0.7),
  # Its bound is of order sqrt(T), and with gamma constant the gaps' share is never given up.
  'logistic_fastcb': (odds, {}, 0.0, 0.6),
  'logistic_fastcb constant': (odds, {'gamma_scale': 1.0, 'gamma_exponent': 0.0}, 0.8, 1.1),
  'neural_linear_ucb': (
    plane,
    {'noise_variance': 0.25, 'hidden': 8, 'capacity': NUM_ROUNDS, 'fit': network.adam(50)},
    0.0,
    0.6,
  ),
  # A linear network, fitted every 100 rounds.
  'hypermodel_ts': (
    plane,
    {'noise_variance': 0.25, 'hidden': 0, 'capacity': NUM_ROUNDS, 'fit': network.adam(50)},
    0.0,
    0.6,
  ),
  'cats decaying': (plateau, {'epsilon': cube_root, 'bandwidth': 0.1, 'depth': 3}, 0.0, 0.85),
  'cats constant': (plateau, {'epsilon': 0.3, 'bandwidth': 0.1, 'depth': 3}, 0.8, 1.1),
}


def observe(key, world):
  """The grid with a query of either sign for the plateau, else five new candidates."""
  if world is plateau:
    features, query = (jnp.arange(32)[:, None] + 0.5) / 32, jax.random.rademacher(key, (1,), float)
  else:
    features, query = jax.random.normal(key, (5, 3)) / np.sqrt(3), jnp.ones(1)
  number = len(features)
  return Context(jnp.int32(0), query, features, jnp.arange(number), jnp.ones(number, bool))


def run(policy, world, key):
  """[T] regret of one seed."""

  def body(state, key):
    features_key, select_key, reward_key, update_key = jax.random.split(key, 4)
    context = observe(features_key, world)
    expected, rewards = world(reward_key, context)
    decision = policy.select(select_key, state, context)
    chosen = decision.index[0]
    feedback = problems.outcome(context, decision, rewards[chosen])
    return policy.update(update_key, state, feedback), jnp.max(expected) - expected[chosen]

  def block(state, keys):
    state, regret = jax.lax.scan(body, state, keys)
    return policy.refresh(jax.random.fold_in(keys[0], 1), state), regret

  init_key, key = jax.random.split(key)
  state = policy.init(init_key, GRID if world is plateau else SPEC)
  keys = jax.random.split(key, NUM_ROUNDS).reshape(NUM_BLOCKS, -1)
  return jax.lax.scan(block, state, keys)[1].ravel()


# Programs that take longest to compile, of policies whose parts are tested by themselves.
LONG = (
  'hypermodel_ts',
  'perturbed_history',
  'bootstrapped_logistic_ts',
  'bootstrapped_logistic_ucb',
  'tree_ts',
  'clusters_ts',
  'within_ts',
  'nearest_ts',
  'lin_cover',
  'lin_cover ips',
  'lin_cover dr',
  'logistic_fastcb',
  'logistic_fastcb constant',
  'neural_linear_ucb',
  'lin_elimination',
  'cats constant',
  'cats decaying',
  'kl_ucb',
  # Whose explorers and beliefs are in the others.
  'gaussian_ucb',
  'moss',
  'epsilon_greedy constant',
)


@pytest.mark.parametrize(
  'case', [pytest.param(case, marks=pytest.mark.soak) if case in LONG else case for case in CASES]
)
def test_the_exponent_of_regret_from_a_quarter_of_the_rounds_to_all(case):
  world, values, low, high = CASES[case]
  policy = bandits.make(case.split()[0], **values)
  play = problems.compiled(jax.vmap(functools.partial(run, policy, world)))
  regret = np.cumsum(play(jax.random.split(jax.random.key(0), NUM_SEEDS)).mean(axis=0))
  exponent = np.log(regret[-1] / regret[NUM_ROUNDS // 4 - 1]) / np.log(4)
  assert low < exponent < high
