"""A contract of all user towers, and each against a loop in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models import user_towers
from rec_jax.models.config import USER_TOWERS, TwoTowerConfig
from tests.models import modules

N, D, L, B = 7, 4, 5, 2
# Longer than histories of training, where places and distances end.
SIZES = TwoTowerConfig(
  num_items=N, text_dim=0, dim=D, num_heads=2, num_layers=2, history_length=L - 2
)
ITEMS = jnp.asarray(np.random.default_rng(0).normal(size=(N, D)), jnp.float32)
HISTORY = np.array([[1, 2, 3, 4, 5], [6, 4, 0, 0, 0]], np.int32)
REWARDS = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], np.int32)
TIMES = np.array([[0, 7, 90, 4000, 100_000], [0, 60, 0, 0, 0]], np.int32)
GIVEN = HISTORY, REWARDS, TIMES


def build(name, seed=0, **changes):
  sizes = TwoTowerConfig(**{**vars(SIZES), 'user_tower': name, **changes})
  return user_towers.make(sizes, rngs=nnx.Rngs(seed))


@functools.cache
def tower(name):
  return modules.random(lambda: build(name))


@jax.jit
def vectors(tower, items, history, rewards, times):
  return tower(items, history, rewards, times)


def of(name, history=HISTORY, rewards=REWARDS, times=TIMES):
  return np.asarray(vectors(tower(name), ITEMS, history, rewards, times))


every = pytest.mark.parametrize('name', USER_TOWERS)


def test_the_names_are_those_of_the_config():
  assert tuple(user_towers.TOWERS) == USER_TOWERS


@every
def test_a_user_vector_depends_on_the_events_before_it_alone(name):
  model = tower(name)

  def out(items, direction):
    return model(items, *(each[:1] for each in GIVEN))[0] @ direction

  slopes = jax.jit(jax.jacobian(out))(ITEMS, jnp.arange(1.0, D + 1))
  size = np.abs(slopes)[:, : L + 1].max(-1)
  assert size.shape == (L + 1, L + 1)
  for t in range(L + 1):
    # Item i is event i + 1; the last column is of no event.
    assert not size[t, t:].any()
    assert (size[t, :t] > 1e-5).all(), (t, size[t])
  before = of(name)
  assert before.shape == (B, L + 1, D) and before.dtype == np.float32
  for t in range(L):
    later = np.arange(L) >= t
    after = of(name, HISTORY, np.where(later, 1 - REWARDS, REWARDS), TIMES + 5 * 10**6 * later)
    # The second user has no events there; neither has the first one before them.
    np.testing.assert_array_equal(after[:, : t + 1], before[:, : t + 1])
    assert np.abs(after[0, t + 1 :] - before[0, t + 1 :]).max() > 1e-5


@every
def test_padding_changes_nothing(name):
  before = of(name)
  junk = np.where(HISTORY > 0, 0, 1)
  noisy = of(name, HISTORY, REWARDS + junk, TIMES + 999 * junk)
  np.testing.assert_allclose(noisy[1, :3], before[1, :3], atol=1e-6)
  wide = [np.pad(each, ((0, 0), (0, 3))) for each in GIVEN]
  np.testing.assert_allclose(of(name, *wide)[:, : L + 1], before, atol=1e-5)


@every
def test_histories_are_of_any_length(name):
  nobody = of(name, *(each[:, :0] for each in GIVEN))
  assert nobody.shape == (B, 1, D) and np.isfinite(nobody).all()
  np.testing.assert_allclose(nobody, of(name)[:, :1], atol=1e-5)
  empty = of(name, *(np.zeros_like(each) for each in GIVEN))
  np.testing.assert_allclose(empty[:, 0], nobody[:, 0], atol=1e-5)


@every
def test_the_vector_after_the_whole_is_that_after_the_last_event(name):
  found = jax.jit(user_towers.after_whole)(tower(name), ITEMS, *GIVEN)
  np.testing.assert_allclose(found, of(name)[[0, 1], [5, 2]], atol=1e-5)


@every
def test_who_reads_order_and_times(name):
  order = [0, 1, 2, 4, 3]
  swapped = of(name, HISTORY[:, order], REWARDS[:, order])
  moved = np.abs(swapped - of(name))[0, -1].max()
  assert (moved < 1e-5) == (name == 'mean')
  later = np.abs(of(name, HISTORY, REWARDS, TIMES * 50) - of(name))[0, -1].max()
  assert (later > 1e-4) == tower(name).reads_times == (name == 'hstu')
  if tower(name).reads_times:
    with pytest.raises(ValueError, match='^HSTU reads the times of events, and none are given$'):
      tower(name)(ITEMS, HISTORY, REWARDS)


@every
def test_weights_follow_from_the_seed(name):
  first, again, other = (modules.flat(nnx.state(build(name, seed))) for seed in (0, 0, 1))
  assert all(np.array_equal(first[path], again[path]) for path in first)
  assert not np.array_equal(first[('start',)], other[('start',)])
  assert all(np.isfinite(value).all() for value in first.values())


def test_a_temperature_divides_user_vectors_and_may_be_learnt():
  plain = modules.random(lambda: build('mean'))
  fixed = modules.random(lambda: build('mean', temperature=0.5))
  np.testing.assert_allclose(fixed(ITEMS, *GIVEN), 2 * plain(ITEMS, *GIVEN), rtol=1e-6)
  learnt = modules.random(lambda: build('mean', temperature=0.0))
  learnt.log_temperature[...] = jnp.log(0.25)
  for path in (('start',), ('reward', 'embedding'), ('norm', 'scale'), ('norm', 'bias')):
    *owner, last = path
    source, goal = (functools.reduce(getattr, owner, each) for each in (plain, learnt))
    getattr(goal, last)[...] = getattr(source, last)[...]
  np.testing.assert_allclose(learnt(ITEMS, *GIVEN), 4 * plain(ITEMS, *GIVEN), rtol=1e-5)
  assert build('mean', temperature=0.0).log_temperature[...] == 0


# Loops in float64, one user at a time, over the start and the events.


def read(name, row):
  """Input vectors of a user [1 + n, D] and the weights by path."""
  weights = {path: np.float64(value) for path, value in modules.flat(tower(name)).items()}
  events = [
    np.float64(ITEMS[item - 1]) + weights[('reward', 'embedding')][reward]
    for item, reward in zip(HISTORY[row], REWARDS[row], strict=True)
    if item
  ]
  return np.stack([weights[('start',)], *events]), weights


def normed(x, scale=1.0, bias=0.0):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * scale + bias


def out(x, weights):
  return normed(x, weights[('norm', 'scale')], weights[('norm', 'bias')])


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


def mean_by_loop(row):
  x, weights = read('mean', row)
  return out(np.stack([x[: t + 1].mean(0) for t in range(len(x))]), weights)


def gru_by_loop(row):
  x, weights = read('gru', row)
  for layer in range(2):
    kernel, bias = (weights[('layers', layer, 'read', part)] for part in ('kernel', 'bias'))
    gates, candidate = (weights[('layers', layer, part)] for part in ('gates', 'candidate'))
    (w_z, w_r, w), (b_z, b_r, b) = np.split(kernel, 3, axis=1), np.split(bias, 3)
    (u_z, u_r), h, states = np.split(gates, 2, axis=1), np.zeros(D), []
    for event in x:
      z = sigmoid(event @ w_z + b_z + h @ u_z)
      r = sigmoid(event @ w_r + b_r + h @ u_r)
      h = (1 - z) * h + z * np.tanh(event @ w + b + (r * h) @ candidate)
      states.append(h)
    x = np.stack(states)
  return out(x, weights)


def hstu_by_loop(row):
  x, weights = read('hstu', row)
  times = [0, *TIMES[row]]
  half, length = D // 2, SIZES.history_length + 1
  for layer in range(2):
    own = {path[2:]: value for path, value in weights.items() if path[:2] == ('blocks', layer)}
    scaled = normed(x, own[('norm', 'scale')], own[('norm', 'bias')])
    linear = scaled @ own[('read', 'kernel')] + own[('read', 'bias')]
    u, v, q, k = np.split(linear * sigmoid(linear), 4, axis=1)
    rows = []
    for i in range(len(x)):
      attended = np.zeros(D)
      for j in range(i + 1):
        place = own[('by_place',)][min(i - j, length - 1)]
        seconds = max(abs(times[i] - times[j]), 1)
        time = own[('by_time',)][int(np.log(seconds) / 0.301)]
        for head in (slice(half), slice(half, D)):
          logit = q[i, head] @ k[j, head] + place + time
          attended[head] += logit * sigmoid(logit) / length * v[j, head]
      gated = normed(attended) * u[i]
      rows.append(x[i] + gated @ own[('out', 'kernel')] + own[('out', 'bias')])
    x = np.stack(rows)
  return out(x, weights)


@pytest.mark.parametrize(
  ('name', 'loop'), [('mean', mean_by_loop), ('gru', gru_by_loop), ('hstu', hstu_by_loop)]
)
def test_a_tower_is_a_loop_over_the_events(name, loop):
  for row in range(B):
    expected = loop(row)
    np.testing.assert_allclose(of(name)[row, : len(expected)], expected, rtol=1e-4, atol=1e-4)


def test_an_event_that_is_hidden_moves_no_state():
  """Histories may have gaps; a recurrent state stays as it is over them."""
  gap = np.array([[1, 0, 3, 4, 0], [6, 0, 0, 0, 0]], np.int32)
  shut = np.array([[1, 3, 4, 0, 0], [6, 0, 0, 0, 0]], np.int32)
  found, expected = of('gru', gap), of('gru', shut, REWARDS[:, [0, 2, 3, 4, 1]])
  np.testing.assert_allclose(found[0, [1, 3, 4]], expected[0, [1, 2, 3]], atol=1e-6)
  np.testing.assert_array_equal(found[0, 2], found[0, 1])


def test_a_linear_map_of_user_and_moment_is_added_behind_every_prefix():
  model = nnx.view(build('mean', context_dim=3, temperature=2.0), deterministic=True)
  rng = np.random.default_rng(4)
  kernel, context = rng.normal(size=(3, D)), rng.normal(size=(B, L + 1, 3))
  without = model(ITEMS, *GIVEN)
  # Before anything is learnt it says nothing.
  np.testing.assert_array_equal(model(ITEMS, *GIVEN, context=context), without)
  model.context.kernel[...] = jnp.asarray(kernel, jnp.float32)
  found = model(ITEMS, *GIVEN, context=jnp.asarray(context, jnp.float32))
  np.testing.assert_allclose(found, without + context @ kernel, rtol=1e-5, atol=1e-5)
  whole = user_towers.after_whole(model, ITEMS, *GIVEN, jnp.asarray(context[:, 0], jnp.float32))
  lengths = (HISTORY > 0).sum(1)
  expected = without[np.arange(B), lengths] + context[:, 0] @ kernel
  np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=1e-5)


@every
def test_the_user_of_whom_nothing_is_known_has_gradients_of_usual_size(name):
  """A layer norm of a vector at zero has a slope of a thousand."""
  users = nnx.view(build(name), deterministic=True)
  empty = jnp.zeros((1, 3), jnp.int32)

  @nnx.jit
  @nnx.grad
  def slope(users):
    return users(jnp.ones((N, D)), empty, empty, empty)[0, 0, 0]

  # A recurrent state starts at zero, and its gates are half open.
  assert float(jnp.linalg.norm(slope(users).start[...])) < 30
