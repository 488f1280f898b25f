"""Softmax over a catalogue, and over a sample of it, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from rec_jax.losses.retrieval import full_softmax, sampled_softmax

B, N, D = 4, 6, 3
MASK = np.array([True, False, True, True, False, True])
TARGET = np.array([0, 3, 5, 3])


def vectors():
  rng = np.random.default_rng(0)
  return (2 * rng.normal(size=(n, D)).astype(np.float32) for n in (B, N))


def by_loop(users, items, target, mask):
  losses = []
  for user, goal in zip(np.float64(users), target, strict=True):
    odds = [np.exp(user @ item) if shown else 0.0 for item, shown in zip(items, mask, strict=True)]
    losses.append(-np.log(odds[goal] / sum(odds)))
  return np.array(losses)


def test_equals_a_loop_in_float64():
  users, items = vectors()
  actual = full_softmax(users, items, TARGET, MASK)
  np.testing.assert_allclose(actual, by_loop(users, items, TARGET, MASK), rtol=1e-5)
  assert (by_loop(users, items, TARGET, np.ones(N, bool)) > actual + 1e-4).all()


def test_items_outside_the_mask_get_no_gradient_and_spoil_none():
  users, items = vectors()
  grads = jax.grad(lambda x: full_softmax(users, x, TARGET, MASK).sum())(items)
  assert np.isfinite(grads).all()
  assert not np.asarray(grads)[~MASK].any()
  assert (np.abs(grads[MASK]).max(1) > 1e-3).all()


def test_a_target_that_is_alone_costs_nothing():
  users, items = vectors()
  alone = np.arange(N) == 2
  np.testing.assert_allclose(full_softmax(users, items, np.full(B, 2), alone), 0, atol=1e-6)


@pytest.mark.parametrize('scale', [1e3, 1e-6])
def test_logits_of_any_size_are_safe(scale):
  users, items = vectors()
  loss, grads = jax.value_and_grad(lambda x: full_softmax(scale * x, items, TARGET, MASK).sum())(
    users
  )
  assert np.isfinite(loss)
  assert np.isfinite(grads).all()


@pytest.mark.parametrize('chunk', [1, 4, 6, 7])
def test_a_sum_in_chunks_is_the_same_and_so_are_its_gradients(chunk):
  users, items = vectors()
  # The second of two chunks holds nothing of the mask.
  for mask in (MASK, np.arange(N) < 4):
    target = np.array([0, 3, 3, 2])

    def both(chunk, mask=mask, target=target):
      def total(users, items):
        return (jnp.arange(1, B + 1) * full_softmax(users, items, target, mask, chunk)).sum()

      return jax.value_and_grad(total, argnums=(0, 1))(users, items)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), both(chunk), both(0))


def test_a_sum_in_chunks_holds_few_logits_at_once():
  rows, number, width, chunk = 64, 20_000, 8, 500

  def memory(chunk):
    def total(users, items):
      target, mask = jnp.zeros(rows, jnp.int32), jnp.ones(number, bool)
      return full_softmax(users, items, target, mask, chunk).sum()

    shapes = (jax.ShapeDtypeStruct((n, width), jnp.float32) for n in (rows, number))
    compiled = jax.jit(jax.grad(total, argnums=(0, 1))).lower(*shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  logits, vectors = 4 * rows * number, 4 * width * number
  assert memory(0) > logits
  assert memory(chunk) < 4 * 4 * rows * chunk + 3 * vectors < logits


def sampled(logits, target, drawn, q):
  """`sampled_softmax` of whole rows of logits [B, N], items drawn [B, K] with probabilities q."""
  chosen = np.concatenate([target[:, None], drawn], axis=1)
  log_expected = np.log(drawn.shape[1] * q[drawn])
  picked = jnp.take_along_axis(jnp.asarray(logits), chosen, axis=1)
  return sampled_softmax(picked, log_expected, drawn != target[:, None])


def test_a_sample_of_all_items_once_is_the_catalogue():
  users, items = vectors()
  everything = np.tile(np.arange(N), (B, 1))
  uniform = np.full(N, 1 / N)

  def of_sample(users):
    return sampled(users @ items.T, TARGET, everything, uniform)

  def of_all(users):
    return full_softmax(users, items, TARGET, np.ones(N, bool))

  np.testing.assert_allclose(of_sample(users), of_all(users), rtol=1e-5)
  gradients = (jax.jacobian(each)(users) for each in (of_sample, of_all))
  np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_equals_a_loop_over_the_items_drawn():
  users, items = vectors()
  rng = np.random.default_rng(1)
  logits, q = users @ items.T, rng.dirichlet(np.ones(N))
  drawn = rng.integers(0, N, (B, 7))
  expected = []
  for row, goal, others in zip(np.float64(logits), TARGET, drawn, strict=True):
    total = np.exp(row[goal])
    total += sum(np.exp(row[i]) / (7 * q[i]) for i in others if i != goal)
    expected.append(np.log(total) - row[goal])
  np.testing.assert_allclose(sampled(logits, TARGET, drawn, q), expected, rtol=1e-4)
  check_grads(lambda x: sampled(x, TARGET, drawn, q), (logits,), order=1, modes=('rev',), eps=1e-2)


def test_its_gradient_goes_to_that_of_the_catalogue_as_the_sample_grows():
  """Whatever the items are drawn by, if the probabilities are the right ones."""
  users, items = vectors()
  logits, rng = users @ items.T / 4, np.random.default_rng(2)
  q = np.array([0.35, 0.25, 0.2, 0.1, 0.06, 0.04])
  full = jax.grad(lambda x: full_softmax(x, np.eye(N), TARGET, np.ones(N, bool)).sum())(logits)

  @jax.jit
  @jax.grad
  def gradient(logits, drawn, log_expected):
    chosen = jnp.concatenate([jnp.broadcast_to(TARGET, (len(drawn), B))[..., None], drawn], -1)
    rows = jnp.broadcast_to(logits, (len(drawn), B, N))
    picked = jnp.take_along_axis(rows, chosen, axis=-1)
    losses = sampled_softmax(picked, log_expected, drawn != TARGET[:, None])
    return losses.mean(0).sum()

  def distance(number, power=1.0):
    drawn = rng.choice(N, (1000, B, number), p=q)
    mean = gradient(logits, drawn, np.log(number * q[drawn] ** power))
    return float(np.abs(mean - full).max())

  few, many = distance(4), distance(256)
  assert many < 0.01 and few > 0.1
  # Without the correction it goes elsewhere, and with the other sign of log q too.
  assert distance(64, power=0.0) > 0.1
  assert distance(64, power=-1.0) > 0.1


def test_a_sample_of_the_target_alone_costs_nothing():
  logits = np.array([[1.0, 2.0, 2.0]], np.float32)
  loss, gradient = jax.value_and_grad(
    lambda x: sampled_softmax(x, 0.0, np.zeros((1, 2), bool)).sum()
  )(logits)
  assert loss == 0 and not np.asarray(gradient).any()
