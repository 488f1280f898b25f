"""Softmax over a catalogue against a loop."""

import jax
import numpy as np
import pytest

from rec_jax.losses.retrieval import full_softmax

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
