"""Every belief that has `gamma` forgets by it, and with 1 forgets nothing."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits import combinations
from rec_jax.bandits.base import Belief
from rec_jax.types import ArmSpec, Context, Feedback
from tests.bandits import problems

SPEC = ArmSpec(num_arms=4, num_candidates=4, query_dim=2, arm_dim=4, num_users=1)
GAMMAS = jnp.array([1.0, 0.95])
BEFORE, AFTER = jnp.array([0.9, 0.7, 0.3, 0.1]), jnp.array([0.1, 0.3, 0.7, 0.9])
NUM_ROWS = 120
KEY = jax.random.key(0)

# The policies are made of these, whichever explorer they come with.
BELIEFS = {
  name: factory
  for name, factory in {**vars(bandits), **vars(combinations)}.items()
  if inspect.isfunction(factory)
  and not name.startswith('_')
  and inspect.signature(factory).return_annotation is Belief
  and 'gamma' in inspect.signature(factory).parameters
}
# The mean of neural_gradient is that of a network that learns in `refresh`, from its ring buffer.
# Matrix factorisation moves on by itself, as it takes the doubt about a user's vector for noise of
# an arm's; with a popularity that forgets beside it the two make up for each other.
# What is seen of an epoch's belief stands still.
OTHER_MEANS = ('epoch_linear', 'neural_gradient', 'popularity_matrix_factorisation')
# What a reward says depends on what was known when it came.
DEPENDS_ON_ORDER = (
  'logistic',
  'matrix_factorisation',
  'popularity_linear',
  'popularity_per_user_linear',
)
# Copies whose rewards are perturbed have the variance of a few draws.
OTHER_VARIANCES = ('perturbed_linear', 'perturbed_popularity')
# Their own tests hold what is forgotten against arithmetic by hand.
BY_HAND = (
  'beta_bernoulli',
  'gaussian',
  'gaussian_unknown_noise',
  'linear',
  'linear_disjoint',
  'linear_unknown_noise',
  'matrix_factorisation',
  'neural_gradient',
)
SIZES = {'num_features': 8, 'hidden': 8, 'capacity': 16, 'rank': 2, 'num_copies': 8}


def small(factory):
  """The sizes that a factory takes."""
  return {name: SIZES[name] for name in inspect.signature(factory).parameters if name in SIZES}


def context():
  """All arms, each with a feature of its own."""
  return Context(
    user_id=jnp.int32(0),
    query=jnp.array([1.0, 0.0]),
    features=jnp.eye(4),
    arm_ids=jnp.arange(4),
    mask=jnp.ones(4, bool),
  )


def learnt(belief):
  """([2, K] expected rewards before the change and at the end, [2, K] their variances)."""

  def step(state, row):
    arm, reward = row
    feedback = Feedback(
      user_id=jnp.zeros(1, jnp.int32),
      query=context().query[None],
      features=context().features[arm][None],
      arm_id=arm[None],
      propensity=jnp.ones(1),
      reward=reward[None],
      weight=jnp.ones(1),
      info=jax.tree.map(lambda leaf: leaf[None], belief.info(state, context(), arm)),
    )
    state = belief.update(KEY, state, feedback)
    return state, belief.predict(state, context())

  # All arms in turn.
  arm = jnp.arange(2 * NUM_ROWS) % 4
  reward = jnp.where(jnp.arange(2 * NUM_ROWS) < NUM_ROWS, BEFORE[arm], AFTER[arm])
  _, moments = jax.lax.scan(step, belief.init(KEY, SPEC), (arm, reward))
  return jax.tree.map(lambda column: column[NUM_ROWS - 1 :: NUM_ROWS], moments)


def contrast(means, truth):
  """How much of the differences between arms is known: 1 all, 0 nothing, negative the opposite."""
  truth = truth - truth.mean()
  return means @ truth / (truth @ truth)


@pytest.mark.parametrize(
  'name',
  [pytest.param(name, marks=pytest.mark.soak) if name in BY_HAND else name for name in BELIEFS],
)
def test_a_belief_with_gamma_is_nearer_to_rewards_that_changed(name):
  make = functools.partial(BELIEFS[name], **small(BELIEFS[name]))

  run = problems.compiled(jax.vmap(lambda gamma: learnt(make(gamma=gamma))))
  means, variances = jax.device_get(run(GAMMAS))
  if name not in OTHER_MEANS:
    # Forgetting is not ignorance.
    assert np.all(contrast(means[:, 0], BEFORE) > 0.3)
    remembering, forgetting = contrast(means[:, 1], AFTER)
    assert forgetting > remembering + 0.1
    if name not in DEPENDS_ON_ORDER:
      # As many rewards before as after: without forgetting they cancel.
      assert abs(remembering) < 0.02
  if name not in OTHER_VARIANCES:
    remembering, forgetting = variances[:, 1].mean(axis=1)
    assert forgetting > 1.5 * remembering
