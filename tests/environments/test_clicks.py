"""Clicks on slates against brute force over slates, and what weights of rows are good for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments.clicks import (
  CascadeData,
  PositionData,
  cascade_environment,
  position_based_environment,
)
from rec_jax.environments.rollout import rollout
from rec_jax.types import ArmSpec, Decision

NUM_ITEMS, SLATE = 6, 3
KAPPA = np.array([1.0, 0.5, 0.2], np.float32)
SPEC = ArmSpec(NUM_ITEMS, NUM_ITEMS, 1, NUM_ITEMS, slate_size=SLATE)
KEYS = jax.random.split(jax.random.key(0), 16)
WORLDS = {
  'cascade': (cascade_environment(NUM_ITEMS), CascadeData(jnp.float32(0.6))),
  'position_based': (
    position_based_environment(NUM_ITEMS),
    PositionData(jnp.float32(0.6), jnp.asarray(KAPPA)),
  ),
}


def play(world, name, num_rounds=800, change=None, **values):
  environment, data = WORLDS[world]
  environment = environment if change is None else change(environment)
  return rollout(
    KEYS, bandits.make(name, **values), environment, data, SPEC, num_rounds, return_state=True
  )


@pytest.fixture(scope='module', params=WORLDS)
def uniform(request):
  return request.param, play(request.param, 'uniform', 3_000)


def worth(world, attraction):
  """Of one slate, by summing over every outcome of every position."""
  if world == 'position_based':
    return float(np.sum(KAPPA * attraction))
  total = 0.0
  for attractive in itertools.product((0, 1), repeat=len(attraction)):
    chance = np.prod(np.where(attractive, attraction, 1 - attraction))
    total += chance * any(attractive)
  return total


def test_expected_rewards_are_those_of_brute_force_over_slates(uniform):
  world, out = uniform
  for seed in range(3):
    attraction = np.asarray(out.env_state, np.float64)[seed]
    slates = {
      slate: worth(world, attraction[list(slate)])
      for slate in itertools.permutations(range(NUM_ITEMS), SLATE)
    }
    best = out.metrics.best_expected_reward[seed, :, 0].sum(-1)
    np.testing.assert_allclose(best, max(slates.values()), rtol=1e-5)
    shown = [slates[tuple(slate)] for slate in out.metrics.arm_id[seed, :, 0].tolist()]
    np.testing.assert_allclose(out.metrics.expected_reward[seed, :, 0].sum(-1), shown, rtol=1e-5)


def test_clicks_come_as_often_as_expected_and_attractions_are_each_seeds_own(uniform):
  world, out = uniform
  clicks, expected = out.metrics.reward, out.metrics.expected_reward
  error = np.sqrt((expected * (1 - expected)).sum((0, 1, 2))) / clicks[..., 0].size
  gap = np.abs(clicks.mean((0, 1, 2)) - expected.mean((0, 1, 2)))
  assert (gap < 4 * error).all()
  assert not (np.abs(clicks.mean((0, 1, 2)) - 1.5 * expected.mean((0, 1, 2))) < 4 * error).any()
  assert set(np.unique(clicks)) == {0, 1}
  if world == 'cascade':
    assert clicks.sum(-1).max() == 1
  attraction = np.asarray(out.env_state)
  assert len(np.unique(attraction)) == attraction.size and attraction.max() <= 0.6


def one_slate(world):
  """(attraction [K] -> feedback of a slate that is the same for all), and the slate [L]."""
  environment, data = WORLDS[world]

  # Two programs instead of one for each operation.
  @jax.jit
  def decided(key):
    context = environment.observe(key, data, jnp.zeros(NUM_ITEMS), 0)
    policy, one = bandits.make('uniform'), jax.tree.map(lambda x: x[0], context)
    decision = policy.select(key, policy.init(key, SPEC), one)
    return context, jax.tree.map(lambda x: x[None], decision)

  context, decision = decided(KEYS[0])

  @jax.jit
  def feedback(attraction):
    return environment.step(KEYS[0], data, attraction, 0, context, decision)[1]

  return feedback, np.asarray(decision.index[0])


def test_rows_below_a_click_are_padding_and_seen_ones_are_not():
  feedback, index = one_slate('cascade')
  for clicked, weight in ((0, [1, 0, 0]), (1, [1, 1, 0]), (2, [1, 1, 1])):
    rows = feedback(np.isin(np.arange(NUM_ITEMS), index[clicked:]).astype(np.float32))
    assert rows.weight.tolist() == weight
    assert rows.reward.tolist() == [float(position == clicked) for position in range(3)]
  # Without a click all were seen.
  assert feedback(np.zeros(NUM_ITEMS, np.float32)).weight.tolist() == [1, 1, 1]


def test_a_row_weighs_as_much_as_its_position_is_looked_at():
  rows = one_slate('position_based')[0](np.ones(NUM_ITEMS, np.float32))
  np.testing.assert_array_equal(rows.weight, KAPPA)
  # Clicks over the examinations to be expected.
  np.testing.assert_allclose(rows.reward, (np.asarray(rows.reward) > 0) / KAPPA)


def as_zeros(environment):
  """The same world, in which what was not clicked is taken to have been seen and disliked."""

  def step(*args):
    state, feedback, metrics = environment.step(*args)
    rows = feedback.replace(
      weight=jnp.ones_like(feedback.weight), reward=metrics.reward.reshape(-1)
    )
    return state, rows, metrics

  return environment._replace(step=step)


CASES = {'cascade': ('ucb1', {}), 'position_based': ('gaussian_ts', {'noise_variance': 0.25})}


@pytest.mark.soak
def test_attractions_are_learnt_and_unseen_positions_are_better_left_out(uniform):
  world, played = uniform
  name, values = CASES[world]

  def late_regret(**change):
    metrics = play(world, name, 3_000, **values, **change).metrics
    gap = metrics.best_expected_reward - metrics.expected_reward
    return gap.sum((2, 3))[:, -500:].mean(1)

  metrics = played.metrics
  chance = (metrics.best_expected_reward - metrics.expected_reward).sum((2, 3)).mean()
  right, wrong = late_regret(), late_regret(change=as_zeros)
  assert right.mean() < 0.1 * chance
  assert right.mean() < wrong.mean() / 1.5


@pytest.mark.parametrize('world', WORLDS)
def test_an_empty_position_is_never_clicked(world):
  environment, data = WORLDS[world]
  # Only the last item attracts, surely, and the index of nothing is -1.
  state = np.eye(NUM_ITEMS, dtype=np.float32)[-1]

  @jax.jit
  def step(key, state):
    context = environment.observe(key, data, state, 0)
    index = jnp.array([[0, -1, -1]])
    decision = Decision(index, index, jnp.ones((1, SLATE)), info=None)
    return environment.step(key, data, state, 0, context, decision)

  _, rows, metrics = step(KEYS[0], state)
  for clicks in (metrics.reward, metrics.expected_reward):
    np.testing.assert_array_equal(clicks, np.zeros((1, SLATE)))
  assert (rows.weight > 0).tolist() == [True, False, False]
