"""Choices of sb-obp on the same stream, ties included."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.linear_disjoint import linear_disjoint
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.policy import combine
from rec_jax.types import ArmSpec, Context, Feedback
from tests.bandits import problems

PATH = pathlib.Path(__file__).parents[1] / 'data' / 'golden' / 'obp_0_5_10_actions.npz'
# context [T, D] and reward [T, K]; of each policy the actions [T], which scores are within 1e-9 of
# the best [T, K], and whether it explored [T] (rand() <= epsilon, or for epsilon_greedy also while
# an arm was never tried).
GOLDEN = np.load(PATH)
ORIGIN = (
  f'{PATH.name} holds the actions of sb-obp 0.5.10 (obp.policy.LinUCB(epsilon=0.7), '
  'LinEpsilonGreedy(epsilon=0.2), EpsilonGreedy(epsilon=0.2), random_state=12345, batch_size=1) on '
  'its contexts and rewards. If they differ, the policy has changed, not OBP'
)

POLICIES = {
  'lin_ucb': lambda scale: combine(linear_disjoint(), ucb(0.7 * scale)),
  'lin_epsilon_greedy': lambda scale: combine(linear_disjoint(scale), epsilon_greedy(0.2)),
  # Next to no prior: the mean of an arm is that of its rewards, as in OBP.
  'epsilon_greedy': lambda scale: combine(beta_bernoulli(1e-9, 1e-9 * scale), epsilon_greedy(0.2)),
}


def choices(policy):
  """[T, K] probabilities before each round, learning from what OBP chose."""
  contexts, rewards = GOLDEN['context'], GOLDEN['reward'].astype(np.float32)
  num_arms = rewards.shape[1]
  spec = ArmSpec(num_arms, num_arms, contexts.shape[1], contexts.shape[1])

  def step(state, row):
    query, rewards, action = row
    context = Context(
      user_id=jnp.int32(0),
      query=query,
      features=jnp.zeros((num_arms, spec.arm_dim)),
      arm_ids=jnp.arange(num_arms),
      mask=jnp.ones(num_arms, bool),
    )
    feedback = Feedback(
      user_id=jnp.zeros(1, jnp.int32),
      query=query[None],
      features=jnp.zeros((1, spec.arm_dim)),
      arm_id=action[None],
      propensity=jnp.ones(1),
      reward=rewards[action][None],
      weight=jnp.ones(1),
      info=None,
    )
    probabilities = policy.probabilities(jax.random.key(0), state, context)[:, 0]
    return policy.update(jax.random.key(0), state, feedback), probabilities

  def run(actions):
    state = policy.init(jax.random.key(0), spec)
    return jax.lax.scan(step, state, (contexts, rewards, actions))[1]

  return run


def probabilities(name, scale):
  actions = GOLDEN[name].astype(np.int32)
  return np.asarray(problems.compiled(choices(POLICIES[name](scale)))(actions)), actions


@pytest.mark.parametrize('name', POLICIES)
def test_actions_and_ties_are_those_of_obp_on_the_same_stream(name):
  rows, actions = probabilities(name, 1.0)
  best = rows == rows.max(axis=1, keepdims=True)
  explored = GOLDEN[f'{name}_explored']
  wrong = (best != GOLDEN[f'{name}_best']).any(axis=1) & ~explored
  assert not wrong.any(), f'round {np.argmax(wrong)}: {ORIGIN}'
  chosen = np.arange(len(actions)), actions
  assert best[chosen][~explored].all(), ORIGIN
  if name != 'lin_ucb':
    # What OBP took by chance has the probability of exploring, epsilon / K, at least.
    assert np.all(rows[chosen] >= 0.2 / 6 - 1e-6), ORIGIN


@pytest.mark.parametrize('name', ['lin_ucb', 'lin_epsilon_greedy'])
def test_a_width_or_prior_of_one_and_a_half_chooses_otherwise(name):
  rows, actions = probabilities(name, 1.5)
  other = np.argmax(rows, axis=1) != actions
  assert np.sum(other & ~GOLDEN[f'{name}_explored']) > 5
