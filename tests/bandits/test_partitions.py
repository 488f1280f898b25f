"""Neighbours, clusters and trees against loops over the rows that they remember."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.bandits.beliefs.clusters import clusters, k_means
from rec_jax.bandits.beliefs.neighbours import nearest, within
from rec_jax.bandits.beliefs.recent import init_recent, keep
from rec_jax.bandits.beliefs.tree import tree
from rec_jax.types import ArmSpec, InputError
from tests.bandits import problems

KEY = jax.random.key(0)
SPEC = problems.SPEC
CAPACITY = 24
# More than the ring holds, in batches that wrap around.
# As NumPy: of an array on the device each slice would be compiled for.
ROWS = jax.device_get(problems.feedback(0, 40))
ROWS = dataclasses.replace(ROWS, weight=np.where(np.arange(40) == 35, np.float32(0), ROWS.weight))
CONTEXT = problems.context(4)


def learnt(belief, rows=ROWS):
  state = problems.compiled(belief.init, static_argnums=1)(KEY, SPEC)
  update = problems.compiled(belief.update)
  for start in range(0, len(rows.reward), 10):
    batch = jax.tree.map(lambda x, start=start: x[start : start + 10], rows)
    state = update(KEY, state, batch)
  return state


def remembered():
  """(query, arm, reward, weight) of the last rows that count."""
  columns = ROWS.query, ROWS.arm_id, ROWS.reward, ROWS.weight
  kept = np.flatnonzero(ROWS.weight)[-CAPACITY:]
  return [np.asarray(column, np.float64)[kept] for column in columns]


def posterior_means(is_in):
  """[K] with a prior of Beta(2, 3), given which of the rows count for each arm [N, C]."""
  _, arms, reward, weight = remembered()
  means = []
  for arm in np.asarray(CONTEXT.arm_ids):
    own = weight * (arms == arm) * is_in[arm]
    means.append((2 + own @ reward) / (5 + own.sum()))
  return means


@pytest.mark.parametrize(
  ('number', 'kept'), [(5, 5), (30, 24), pytest.param(24, 24, marks=pytest.mark.soak)]
)
def test_the_nearest_of_all_arms_that_the_ring_still_holds(number, kept):
  belief = nearest(2, 3, num_neighbours=number, capacity=CAPACITY)
  distance = np.linalg.norm(remembered()[0] - np.asarray(CONTEXT.query), axis=1)
  is_in = distance <= np.sort(distance)[kept - 1]
  mean, _ = problems.compiled(belief.predict)(learnt(belief), CONTEXT)
  np.testing.assert_allclose(mean, posterior_means([is_in] * SPEC.num_arms), rtol=1e-5)


def test_of_more_rows_than_the_ring_holds_the_last_are_kept():
  rows = problems.feedback(0, 6, SPEC)
  rows = dataclasses.replace(rows, weight=jnp.array([1.0, 1, 1, 1, 0, 1]))
  recent = keep(init_recent(SPEC, 3), rows)
  # The fourth of five rows that count goes over the first, the fifth over the second.
  np.testing.assert_array_equal(recent.query, rows.query[jnp.array([3, 5, 2])])
  assert recent.position == 2


def test_slots_that_nothing_was_written_to_are_no_neighbours():
  """Their queries are zeros, and so is this one."""
  belief = nearest(2, 3, num_neighbours=5, capacity=64)
  context = dataclasses.replace(CONTEXT, query=jnp.zeros(3))
  distance = np.linalg.norm(np.asarray(ROWS.query, np.float64), axis=1)
  distance[np.asarray(ROWS.weight) == 0] = np.inf
  near = np.argsort(distance)[:5]
  arm, reward, weight = (np.asarray(x)[near] for x in (ROWS.arm_id, ROWS.reward, ROWS.weight))
  told = weight * (arm == np.asarray(CONTEXT.arm_ids)[:, None])
  mean, _ = problems.compiled(belief.predict)(learnt(belief), context)
  np.testing.assert_allclose(mean, (2 + told @ reward) / (5 + told.sum(axis=1)), rtol=1e-5)


def test_a_tree_is_not_split_where_nothing_is_gained():
  belief = tree(2, 3, capacity=CAPACITY)
  state = learnt(belief, dataclasses.replace(ROWS, reward=np.ones(40, np.float32)))
  refreshed = problems.compiled(belief.refresh)(KEY, state)
  # All rows of an arm are in one leaf.
  assert np.all(np.sum(np.asarray(refreshed.successes) > 0, axis=1) <= 1)


@pytest.mark.parametrize('radius', [0.1, 1.2, pytest.param(2.0, marks=pytest.mark.soak)])
def test_those_within_a_radius(radius):
  belief = within(2, 3, radius=radius, capacity=CAPACITY)
  distance = np.linalg.norm(remembered()[0] - np.asarray(CONTEXT.query), axis=1)
  mean, _ = problems.compiled(belief.predict)(learnt(belief), CONTEXT)
  expected = posterior_means([distance <= radius] * SPEC.num_arms)
  np.testing.assert_allclose(mean, expected, rtol=1e-5)
  if radius < 1:
    np.testing.assert_allclose(mean, 0.4, rtol=1e-5)


def test_clusters_are_those_of_the_planted_groups_and_count_apart():
  """Three groups far apart, whatever the seeds; k-means finds the mean of each."""
  rng = np.random.default_rng(0)
  centres = np.array([[9.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]])
  group = rng.integers(3, size=200)
  points = centres[group] + 0.3 * rng.normal(size=(200, 3))
  present = np.arange(200) < 150
  find = problems.compiled(lambda key: k_means(key, jnp.asarray(points), present, 3))
  means = np.stack([points[present & (group == g)].mean(axis=0) for g in range(3)])
  for seed in range(5):
    found = np.asarray(find(jax.random.key(seed)))
    order = np.argmax(found, axis=1)
    np.testing.assert_allclose(found, means[order], rtol=1e-4)
  belief = clusters(2, 3, num_clusters=3, capacity=CAPACITY)
  spread = dataclasses.replace(ROWS, query=points[:40].astype(np.float32))
  state = learnt(belief, spread)
  # All are one cluster at first, in which all 39 rows count.
  assert float(jnp.sum((state.successes + state.failures)[:, 0])) == float(ROWS.weight.sum())
  state = problems.compiled(belief.refresh)(KEY, state)
  kept = np.flatnonzero(ROWS.weight)[-CAPACITY:]
  seen = dataclasses.replace(CONTEXT, query=jnp.asarray(centres[1], jnp.float32))
  is_in = group[kept] == 1
  mean, _ = problems.compiled(belief.predict)(state, seen)
  np.testing.assert_allclose(mean, posterior_means([is_in] * SPEC.num_arms), rtol=1e-5)


def grown(query, reward, weight, depth):
  """[C] labels of leaves by exhaustive search over every value of every entry."""
  leaf = np.zeros(len(reward), int)
  if depth == 0 or len(reward) == 0:
    return leaf

  def error(chosen):
    if weight[chosen].sum() == 0:
      return 0.0
    mean = np.average(reward[chosen], weights=weight[chosen])
    return weight[chosen] @ (reward[chosen] - mean) ** 2

  everything = np.ones(len(reward), bool)
  best = (error(everything) - 1e-5 * max(weight.sum(), 1), None, None)
  for entry in range(query.shape[1]):
    for threshold in np.unique(query[:, entry]):
      left = query[:, entry] <= threshold
      found = error(left) + error(~left)
      if found < best[0] - 1e-9:
        best = (found, entry, threshold)
  if best[1] is None:
    return leaf
  _, entry, threshold = best
  left = query[:, entry] <= threshold
  leaf[~left] = 2 ** (depth - 1)
  for side in (left, ~left):
    leaf[side] += grown(query[side], reward[side], weight[side], depth - 1)
  return leaf


@pytest.mark.parametrize(
  'depth', [2, *(pytest.param(depth, marks=pytest.mark.soak) for depth in (1, 3))]
)
def test_a_tree_takes_the_splits_of_an_exhaustive_search(depth):
  """At the rows themselves: other thresholds and entries may part them in the same way."""
  rng = np.random.default_rng(1)
  rows = dataclasses.replace(
    ROWS,
    reward=rng.uniform(size=40).astype(np.float32),
    arm_id=(np.arange(40) % 2 * 3).astype(np.int32),
  )
  belief = tree(2, 3, depth=depth, num_bins=200, capacity=CAPACITY)
  state = problems.compiled(belief.refresh)(KEY, learnt(belief, rows))
  kept = np.flatnonzero(rows.weight)[-CAPACITY:]
  query, reward, weight, arm = (
    np.asarray(column, np.float64)[kept]
    for column in (rows.query, rows.reward, rows.weight, rows.arm_id)
  )
  predict = problems.compiled(belief.predict)
  for own_arm in (0, 3):
    own = arm == own_arm
    leaf = grown(query[own], reward[own], weight[own], depth)
    assert len(np.unique(leaf)) > depth
    seen = dataclasses.replace(CONTEXT, arm_ids=jnp.array([own_arm, 1, 2, 4, 5]))
    for number, one in enumerate(query[own]):
      there = dataclasses.replace(seen, query=jnp.asarray(one, jnp.float32))
      told = weight[own] * (leaf == leaf[number])
      mean, _ = predict(state, there)
      np.testing.assert_allclose(mean[0], (2 + told @ reward[own]) / (5 + told.sum()), rtol=1e-4)
      np.testing.assert_allclose(mean[1:], 0.4, rtol=1e-6)


def test_trees_that_no_device_has_room_for_are_refused():
  belief, spec = tree(), ArmSpec(10**7, 10**7, query_dim=64, arm_dim=1)
  key = jax.random.key(0)
  state = jax.eval_shape(lambda: belief.init(key, spec))
  with pytest.raises(InputError, match='to grow the trees of 10,000,000 arms .* takes 1,638.4 GB'):
    jax.eval_shape(belief.refresh, key, state)


@pytest.mark.parametrize('factory', [nearest, within, clusters, tree])
def test_rows_of_a_reset_arm_are_of_nobody_and_the_others_stay(factory):
  belief = factory(2, 3, capacity=CAPACITY)
  refresh = problems.compiled(belief.refresh)
  state = refresh(KEY, learnt(belief))
  arm = CONTEXT.arm_ids[2:3]
  reset_arms, predict = problems.compiled(belief.reset_arms), problems.compiled(belief.predict)
  features = np.zeros((1, SPEC.arm_dim), np.float32)
  reset = reset_arms(state, arm, features)
  before, after = (np.asarray(predict(each, CONTEXT)[0]) for each in (state, reset))
  np.testing.assert_allclose(after[2], 0.4, rtol=1e-6)
  if factory is not nearest:
    # Of the nearest, rows that were further away take the places.
    np.testing.assert_array_equal(np.delete(after, 2), np.delete(before, 2))
  # Nor does a refresh bring them back.
  again = predict(refresh(KEY, reset), CONTEXT)[0]
  np.testing.assert_allclose(again[2], 0.4, rtol=1e-6)
  nobody = reset_arms(state, np.array([SPEC.num_arms], np.int32), features)
  assert problems.same_bits(nobody, state)
