"""CATS: its tree against a slow loop in float64, its density, and numbers by hand."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.bandits.cats import CatsInfo, leaf_costs
from rec_jax.types import ArmSpec, Context, InputError
from tests.bandits import problems

KEY = jax.random.key(0)
NUM, DEPTH, BANDWIDTH, RATE = 16, 3, 0.2, 0.5
SPEC = ArmSpec(num_arms=NUM, num_candidates=NUM, query_dim=2, arm_dim=1)
POLICY = bandits.make('cats', epsilon=0.2, bandwidth=BANDWIDTH, learning_rate=RATE, depth=DEPTH)
CONTEXT = Context(
  user_id=jnp.int32(0),
  query=jnp.array([1.0, -0.5]),
  features=(jnp.arange(NUM)[:, None] + 0.5) / NUM,
  arm_ids=jnp.arange(NUM),
  mask=jnp.ones(NUM, bool),
)


def rows(num_rows=12):
  """Rows with densities that a uniform and a smoothed choice have."""
  rng = np.random.default_rng(1)
  return dataclasses.replace(
    problems.feedback(0, num_rows, SPEC, binary=False),
    features=jnp.asarray(rng.uniform(size=(num_rows, 1)), jnp.float32),
    weight=jnp.asarray(rng.choice([0.0, 1.0, 2.0], num_rows), jnp.float32),
    info=CatsInfo(jnp.asarray(rng.choice([0.2, 2.2], num_rows), jnp.float32)),
  )


def slow_tree(feedback):
  """[nodes, 1 + D] weights: node by node from the leaves up, in float64, from the paper."""
  num_leaves = 2**DEPTH
  weights = np.zeros((num_leaves - 1, 1 + SPEC.query_dim))
  squares = np.zeros_like(weights)
  columns = (feedback.query, feedback.features, feedback.reward, feedback.weight)
  for query, features, reward, weight, density in zip(
    *(np.asarray(x, np.float64) for x in (*columns, feedback.info.density)), strict=True
  ):
    x = np.concatenate([[1.0], query])
    cost = dict.fromkeys(range(2 * num_leaves - 1), 0.0)
    for leaf in range(num_leaves):
      centre = (leaf + 0.5) / num_leaves
      low, high = max(0.0, centre - BANDWIDTH), min(1.0, centre + BANDWIDTH)
      if low <= features[0] <= high:
        cost[num_leaves - 1 + leaf] = weight * (1 - reward) / ((high - low) * density)
    for node in reversed(range(num_leaves - 1)):
      left, right = cost[2 * node + 1], cost[2 * node + 2]
      if left != right:
        label = 1 if right < left else -1
        gradient = -abs(left - right) * label * x / (1 + math.exp(label * weights[node] @ x))
        squares[node] += gradient**2
        weights[node] -= RATE * gradient / np.sqrt(squares[node])
      cost[node] = right if weights[node] @ x > 0 else left
  return weights


def test_the_tree_is_that_of_a_slow_loop():
  feedback = rows()
  state = problems.compiled(POLICY.update)(KEY, POLICY.init(KEY, SPEC), feedback)
  np.testing.assert_allclose(state.belief.weights, slow_tree(feedback), rtol=1e-4, atol=1e-5)


def test_costs_of_leaves_by_hand():
  # Leaves at 1/8, 3/8, 5/8 and 7/8; 0.3 is within 0.2 of the first two. The window of the first is
  # [0, 0.325], of the second [0.175, 0.575]: 0.6 / (0.325 * 0.5) and 0.6 / (0.4 * 0.5).
  got = leaf_costs(jnp.float32(0.3), jnp.float32(0.6), jnp.float32(0.5), 0.2, 2)
  np.testing.assert_allclose(got, [3.6923077, 3.0, 0, 0], rtol=1e-5)


def test_the_choice_is_smoothed_around_the_leaf_and_its_density_is_the_chance_per_cell():
  # Nothing learnt, so the leftmost leaf at 1/16: of 16 candidates those within 0.2 of it, up to
  # 0.2625, are four: 1/32, 3/32, 5/32 and 7/32.
  state = POLICY.init(KEY, SPEC)
  expected = np.where(np.arange(NUM) < 4, 0.8 / 4, 0) + 0.2 / NUM
  got = POLICY.probabilities(KEY, state, CONTEXT)[:, 0]
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  draw = problems.compiled(jax.vmap(POLICY.select, (0, None, None)))
  decision = draw(jax.random.split(KEY, 4_000), state, CONTEXT)
  counts = np.bincount(np.asarray(decision.index[:, 0]), minlength=NUM)
  error = np.sqrt(expected * (1 - expected) / 4_000)
  assert np.all(np.abs(counts / 4_000 - expected) < 4 * error)
  density = decision.info.density[:, 0]
  np.testing.assert_allclose(density, NUM * expected[decision.index[:, 0]], rtol=1e-5)
  # A density sums to one over [0, 1]: the loss of each leaf's choice is estimated without bias.
  weighted = jax.vmap(leaf_costs, (0, None, 0, None, None))(
    CONTEXT.features[:, 0], jnp.float32(1.0), NUM * jnp.asarray(expected), BANDWIDTH, DEPTH
  )
  estimate = expected @ np.asarray(weighted)
  # A window of 2 h holds 6 or 7 cells of 1/16, not 6.4.
  np.testing.assert_allclose(estimate, 1, atol=0.13)


def test_a_query_is_led_to_its_leaf_node_by_node():
  # Right by the 1, left by the first number of the query and right by the second: leaf 5 of 8, at
  # 11/16, and of the candidates those from 17/32 to 27/32.
  state = POLICY.init(KEY, SPEC)
  weights = jnp.zeros((7, 3)).at[jnp.array([0, 2, 5]), jnp.arange(3)].set(jnp.array([1, -1, -1]))
  state = dataclasses.replace(state, belief=dataclasses.replace(state.belief, weights=weights))
  expected = np.where((np.arange(NUM) >= 8) & (np.arange(NUM) < 14), 0.8 / 6, 0) + 0.2 / NUM
  got = POLICY.probabilities(KEY, state, CONTEXT)[:, 0]
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_where_no_candidate_is_within_the_bandwidth_the_nearest_is_chosen():
  mask = jnp.arange(NUM) >= 9
  context = dataclasses.replace(CONTEXT, mask=mask)
  got = POLICY.probabilities(KEY, POLICY.init(KEY, SPEC), context)[:, 0]
  expected = np.where(mask, 0.2 / 7, 0) + np.where(np.arange(NUM) == 9, 0.8, 0)
  np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_an_action_beyond_an_end_is_that_end_and_each_position_has_one_candidate_less():
  # At the leaf 1/16 with the window up to 0.2625; the second is nearest to 1.
  features = jnp.array([[-3.0], [7.0], [0.5], [0.7]])
  context = Context(jnp.int32(0), CONTEXT.query, features, jnp.arange(4), jnp.ones(4, bool))
  spec = ArmSpec(num_arms=4, num_candidates=4, query_dim=2, arm_dim=1, slate_size=2)
  state = POLICY.init(KEY, spec)
  decision = POLICY.select(KEY, state, context)
  chances = POLICY.propensity(
    KEY, state, context, dataclasses.replace(decision, index=jnp.arange(2))
  )
  # The first is the only one in the window; after it 0.5 is the nearest of three.
  np.testing.assert_allclose(chances, [0.8 + 0.2 / 4, 0.2 / 3], rtol=1e-5)
  own = POLICY.propensity(KEY, state, context, decision)
  np.testing.assert_allclose(decision.info.density, own * jnp.array([4, 3]), rtol=1e-5)


def test_values_out_of_range_are_named():
  for name, value in (('bandwidth', 0.0), ('epsilon', 1.5), ('learning_rate', 0.0), ('depth', 0)):
    with pytest.raises(InputError, match=f'{name} = {value:g} is outside'):
      bandits.make('cats', **{name: value})
