"""Classification as a bandit: every row once a pass, reward for the right class alone."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.environments.classification import classification_data, classification_environment
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec

ATTRIBUTES = np.arange(10.0).reshape(5, 2)
LABELS = np.array([2, 0, 1, 2, 2])
DATA = classification_data(ATTRIBUTES, LABELS)
ENVIRONMENT = classification_environment(3)


def observe(order, t):
  return ENVIRONMENT.observe(jax.random.key(0), DATA, order, t)


def test_a_seed_sees_every_row_once_a_pass_in_an_order_of_its_own():
  orders = [ENVIRONMENT.init(jax.random.key(seed), DATA) for seed in range(5)]
  for order in orders:
    seen = [int(observe(order, t).query[0, 1]) // 2 for t in range(10)]
    assert sorted(seen[:5]) == list(range(5))
    assert seen[5:] == seen[:5] == order.tolist()
  assert len({tuple(order.tolist()) for order in orders}) > 1


def test_an_arm_has_the_row_in_its_own_place():
  order = jnp.arange(5)
  context = observe(order, 1)
  np.testing.assert_array_equal(context.query, [[1, 2, 3]])
  np.testing.assert_array_equal(
    context.features[0], [[1, 2, 3] + 6 * [0], 3 * [0] + [1, 2, 3] + 3 * [0], 6 * [0] + [1, 2, 3]]
  )


def test_regret_of_uniform_is_that_of_guessing_and_a_linear_policy_learns():
  rng = np.random.default_rng(0)
  attributes = rng.normal(size=(300, 4))
  labels = np.argmax(attributes @ rng.normal(size=(4, 3)), axis=1)
  data = classification_data(attributes, labels)
  spec = ArmSpec(3, 3, query_dim=5, arm_dim=15)
  keys = jax.random.split(jax.random.key(0), 8)
  rewards = {
    name: rollout(keys, bandits.make(name), ENVIRONMENT, data, spec, 600).metrics.reward
    for name in ('uniform', 'disjoint_lin_ucb')
  }
  # Of 4,800 guesses.
  assert abs(rewards['uniform'].mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 4800)
  assert rewards['disjoint_lin_ucb'][:, 300:].mean() > 0.75
