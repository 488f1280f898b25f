"""The two environments on a real stream against a plain loop over rounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax import bandits
from rec_jax.environments import rated
from rec_jax.environments.catalogue import catalogue_data
from rec_jax.environments.rated import rated_data
from rec_jax.environments.rollout import rollout
from rec_jax.environments.sparse_rows import row_of, sparse_rows
from rec_jax.environments.visits import offered, visit_environment, visit_spec
from rec_jax.types import InputError

NUM_USERS, NUM_ITEMS, CUT = 8, 12, 30
KEY = jax.random.key(0)


def events(seed: int = 0):
  """A stream with at most one event a (user, item), and features of the items."""
  rng = np.random.default_rng(seed)
  pairs = rng.permutation(NUM_USERS * NUM_ITEMS)[:80]
  user, item = pairs // NUM_ITEMS, pairs % NUM_ITEMS
  reward = rng.integers(2, size=len(pairs)).astype(np.float32)
  return user, item, reward, CUT, rng.normal(size=(NUM_ITEMS, 3)).astype(np.float32)


def dense(table):
  """[U, K] of a table of either kind."""
  return np.stack([row_of(table, row) for row in range(table.shape[0])])


def reference_stream(user, min_events, num_visits):
  """Visits by a loop: (source user) in the order of events."""
  counts = {u: int(np.sum(user[CUT:] == u)) for u in range(NUM_USERS)}
  seen, visits = dict.fromkeys(counts, 0), []
  for u in user[CUT:].tolist():
    if counts[u] >= min_events and seen[u] < num_visits(counts[u]):
      visits.append(u)
      seen[u] += 1
  return visits


def check_against_loop(data, metrics, user, item, reward, candidates_of):
  """Replays what was shown and checks every reward, candidate and best reward."""
  shown = {u: set() for u in range(NUM_USERS)}
  truth = {(u, i): r for u, i, r in zip(user[CUT:], item[CUT:], reward[CUT:], strict=True)}
  for t, compact in enumerate(metrics.user_id[0, :, 0]):
    u = int(data.users[compact])
    open_items = candidates_of(u) - shown[u]
    chosen = int(metrics.arm_id[0, t, 0, 0])
    assert chosen in open_items
    assert metrics.reward[0, t, 0, 0] == truth.get((u, chosen), 0)
    best = max(truth.get((u, i), 0) for i in open_items)
    assert metrics.best_expected_reward[0, t, 0, 0] == best
    shown[u].add(chosen)


def play(data, name='uniform', **kwargs):
  environment = visit_environment()
  keys = jax.random.split(jax.random.key(0), 2)
  spec = visit_spec(data)
  return rollout(keys, bandits.make(name), environment, data, spec, len(data.visits), **kwargs)


def test_catalogue_is_the_loop():
  user, item, reward, cut, features = events()
  data = catalogue_data(user, item, reward, cut, features, min_events=5, num_visits=4)
  assert data.users[data.visits].tolist() == reference_stream(user, 5, lambda count: 4)
  rated_before = {u: set(item[:CUT][user[:CUT] == u]) for u in range(NUM_USERS)}
  everything = set(range(NUM_ITEMS))
  metrics = play(data).metrics
  check_against_loop(data, metrics, user, item, reward, lambda u: everything - rated_before[u])


def test_rated_candidates_are_the_loop():
  user, item, reward, cut, features = events()
  data = rated_data(user, item, reward, cut, features, min_events=5)
  assert data.users[data.visits].tolist() == reference_stream(user, 5, lambda count: count // 2)
  rated_after = {u: set(item[CUT:][user[CUT:] == u]) for u in range(NUM_USERS)}
  metrics = play(data).metrics
  check_against_loop(data, metrics, user, item, reward, rated_after.__getitem__)


def test_sampled_negatives_were_never_met(monkeypatch):
  user, item, _, cut, features = events()
  reward = np.ones(len(user), np.float32)
  data = rated_data(user, item, reward, cut, features, min_events=5, negatives_ratio=0.5, seed=3)
  for row, u in enumerate(data.users):
    items, rewards = data.items[row][data.mask[row]], data.rewards[row][data.mask[row]]
    own = set(item[CUT:][user[CUT:] == u])
    met = set(item[user == u])
    assert len(set(items)) == len(items)
    assert set(items[rewards == 1]) == own
    assert not set(items[rewards == 0]) & met
    wanted = int(np.ceil(0.5 * len(own)))
    assert np.sum(rewards == 0) == min(wanted, NUM_ITEMS - len(met))
  again = rated_data(user, item, reward, cut, features, min_events=5, negatives_ratio=0.5, seed=3)
  np.testing.assert_array_equal(data.items, again.items)
  # Drawn for three users at once, they are the same.
  monkeypatch.setattr(rated, '_BLOCK', 3 * NUM_ITEMS)
  again = rated_data(user, item, reward, cut, features, min_events=5, negatives_ratio=0.5, seed=3)
  jax.tree.map(np.testing.assert_array_equal, data, again)


def test_the_history_is_what_was_before_the_cut_and_what_was_shown():
  user, item, reward, cut, features = events()
  data = catalogue_data(
    user, item, reward, cut, features, min_events=5, num_visits=4, history_length=3
  )

  def encode(params, items, rewards, mask):
    return jnp.concatenate([items, rewards, mask]).astype(jnp.float32)

  environment = visit_environment(encode)
  key = jax.random.key(0)
  state = environment.init(key, data)
  policy = bandits.make('uniform')
  policy_state = policy.init(key, visit_spec(data, query_dim=9))
  histories = {
    row: list(zip(item[:CUT][user[:CUT] == u], reward[:CUT][user[:CUT] == u], strict=True))
    for row, u in enumerate(data.users)
  }
  observe, step = jax.jit(environment.observe), jax.jit(environment.step)
  for t, row in enumerate(data.visits.tolist()):
    context = observe(key, data, state, t)
    items, rewards, mask = np.split(np.asarray(context.query[0]), 3)
    expected = histories[row][-3:]
    assert mask.sum() == len(expected)
    assert list(zip(items[mask == 1], rewards[mask == 1], strict=True)) == expected
    single = jax.tree.map(lambda x: x[0], context)
    decision = policy.select(jax.random.key(t), policy_state, single)
    decision = jax.tree.map(lambda x: x[None], decision)
    state, feedback, metrics = step(key, data, state, t, context, decision)
    histories[row].append((int(decision.arm_id[0, 0]), float(metrics.reward[0, 0])))
    assert feedback.weight.tolist() == [1.0]


def test_when_nothing_is_left_nothing_is_shown_or_learnt():
  user, item, reward, cut, features = events()
  data = rated_data(user, item, reward, cut, features, min_events=5)
  data = data.replace(visits=np.zeros(NUM_ITEMS + 2, np.int32), most_visits=NUM_ITEMS + 2)
  out = play(data, 'popularity_greedy', return_state=True)
  num = int(data.mask[0].sum())
  assert np.all(out.metrics.arm_id[:, :num] >= 0)
  assert np.all(out.metrics.arm_id[:, num:] == -1)
  assert np.all(out.metrics.reward[:, num:] == 0)
  assert np.all(out.metrics.best_expected_reward[:, num:] == 0)
  np.testing.assert_array_equal(out.policy_state.explorer, num)


def test_a_slate_shows_distinct_items_and_each_is_rewarded():
  user, item, reward, cut, features = events()
  data = catalogue_data(user, item, reward, cut, features, min_events=5, num_visits=2)
  spec = visit_spec(data, slate_size=2)
  keys = jax.random.split(jax.random.key(0), 2)
  out = rollout(
    keys, bandits.make('uniform'), visit_environment(slate_size=2), data, spec, len(data.visits)
  ).metrics
  assert np.all(out.arm_id[..., 0] != out.arm_id[..., 1])
  worth = dense(data.rewards)
  for t, row in enumerate(data.visits):
    for position in range(2):
      assert out.reward[0, t, 0, position] == worth[row, out.arm_id[0, t, 0, position]]
  assert np.all(np.sort(out.reward)[..., ::-1] <= out.best_expected_reward)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'cut': 0}, 'the cut at event 0'),
    ({'features': np.zeros((3, 2), np.float32)}, 'has no row in features of shape'),
    ({'reward': np.zeros(3)}, 'have 80, 80 and 3 rows'),
    ({'min_events': 1000}, 'no user has 1000 events after the cut'),
  ],
)
def test_bad_streams_are_named(change, message):
  user, item, reward, cut, features = events()
  given = {'cut': cut, 'reward': reward, 'features': features, 'min_events': 5, **change}
  for build in (catalogue_data, rated_data):
    with pytest.raises(InputError, match=message):
      build(
        user,
        item,
        given['reward'],
        given['cut'],
        given['features'],
        min_events=given['min_events'],
      )


def test_offers_are_drawn_evenly_from_what_is_available():
  available = np.arange(9) != 4
  drawn = np.asarray(jax.vmap(lambda t: offered(3, t, available, 5))(np.arange(2_000)))
  assert (drawn.sum(1) == 5).all() and not drawn[:, 4].any()
  share, error = drawn[:, available].mean(0), np.sqrt(5 / 8 * 3 / 8 / 2_000)
  assert (np.abs(share - 5 / 8) < 4 * error).all()
  assert not (np.abs(share - 1.5 * 5 / 8) < 4 * error).any()
  few = np.arange(9) < 3
  np.testing.assert_array_equal(offered(3, 0, few, 5), few)
  np.testing.assert_array_equal(offered(3, 0, few, 20), few)


def test_sparse_rows_are_those_of_a_dense_table():
  rng = np.random.default_rng(0)
  for fill in (0.0, 7.0):
    row, column = rng.integers(5, size=40), rng.integers(9, size=40)
    # The third row is empty, the last is the longest and is full.
    row, column = np.append(row[row != 2], [4] * 9), np.append(column[row != 2], range(9))
    value = rng.random(len(row)).astype(np.float32)
    expected = np.full((5, 9), fill, np.float32)
    expected[row, column] = value
    table = sparse_rows(row, column, value, (5, 9), fill)
    assert table.shape == (5, 9)
    np.testing.assert_array_equal(dense(table), expected)
    together = jax.jit(jax.vmap(lambda index, table=table: row_of(table, index)))
    np.testing.assert_array_equal(together(np.arange(5)), expected)
  nothing = sparse_rows(row[:0], column[:0], value[:0], (2, 3), 1.0)
  np.testing.assert_array_equal(dense(nothing), np.ones((2, 3)))


@pytest.mark.parametrize(
  ('num_users', 'num_events'),
  [(2_000, 200_000), pytest.param(100_000, 10_000_000, marks=pytest.mark.soak)],
)
def test_what_is_kept_of_a_million_items_grows_with_events(num_users, num_events):
  rng = np.random.default_rng(0)
  num_items = 1_000_000
  user = rng.integers(num_users, size=num_events, dtype=np.int32)
  item = rng.integers(num_items, size=num_events, dtype=np.int32)
  features, reward = np.zeros((num_items, 1), np.float32), np.ones(num_events, np.float32)
  data = catalogue_data(
    user, item, reward, num_events // 2, features, num_visits=5, history_length=2
  )
  assert (len(data.users), data.features.shape[0]) == data.rewards.shape
  assert len(data.users) > 0.99 * num_users
  kept = sum(leaf.nbytes for leaf in jax.tree.leaves((data.rewards, data.mask)))
  # 5 bytes an event and 4 a user in each table, where all pairs of the larger case take 200 GB.
  assert kept < 5.1 * num_events + 2 * 4 * (num_users + 1)
  assert (data.rewards.values.dtype, data.mask.values.dtype) == (np.int8, bool)
  state = jax.eval_shape(visit_environment().init, KEY, data)
  assert sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)) <= 20 * num_users
  last = np.flatnonzero(user == data.users[7])
  early, late = last[last < num_events // 2], last[last >= num_events // 2]
  np.testing.assert_array_equal(np.flatnonzero(row_of(data.rewards, 7)), np.unique(item[late]))
  np.testing.assert_array_equal(np.flatnonzero(~row_of(data.mask, 7)), np.unique(item[early]))
