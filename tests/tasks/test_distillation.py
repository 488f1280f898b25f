"""The loss of the student is at its minimum where the student is the teacher."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.student import Student, StudentConfig
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks import distillation
from rec_jax.tasks.config import DistilConfig
from rec_jax.tasks.lessons import Lesson
from tests.helpers import served
from tests.models import modules

N, V, D, L, B, C = 9, 13, 4, 5, 6, 7


@pytest.fixture(scope='module')
def lesson():
  """(loss of the student's parameters, parameters that equal the teacher)."""
  sizes = StudentConfig(
    num_items=N,
    vocab_size=V,
    text_length=3,
    dim=D,
    token_dim=3,
    text_dim=4,
    num_heads=2,
    history_length=L,
    linear_rank=2,
  )
  tower_sizes = TwoTowerConfig(
    num_items=N, text_dim=0, dim=D, num_heads=2, history_length=L, linear_rank=2
  )
  student = modules.random(lambda: Student(sizes, rngs=nnx.Rngs(0)))
  towers = modules.random(lambda: TwoTower(tower_sizes, rngs=nnx.Rngs(0)), seed=1)
  for module in (student, towers.items):
    module.has_id[...] = jnp.arange(N) != 4
  linear, noise = towers.items.linear, np.random.default_rng(3).normal(size=(2, N, 2))
  linear.given[...], linear.sought[...] = jnp.float32(noise)
  linear.decay[...] = jnp.float32(0.8)
  student.linear = nnx.clone(linear)
  nnx.update(student.users, nnx.state(towers.users, nnx.Param))
  student.id.embedding[...] = towers.items()
  rng = np.random.default_rng(2)
  ids, mask = jnp.asarray(rng.integers(0, V, (C, 3))), jnp.ones((C, 3), int)
  graphdef, params, frozen = nnx.split(student, nnx.Param, ...)
  teacher_graphdef, teacher_state = nnx.split(towers)
  vectors = towers.items.vectors(), student.from_tokens(ids, mask)
  taught = Lesson(teacher_state, *vectors, ids, mask, jnp.zeros((C, 0)))
  history = rng.integers(1, N + 1, (B, L + 1)) * (np.arange(L + 1) < rng.integers(1, L + 2, (B, 1)))
  rewards = rng.integers(0, 2, history.shape) * (history > 0)
  times = np.zeros_like(history)
  batch = {'items': history, 'history': history, 'rewards': rewards, 'times': times}
  batch = jax.tree.map(jnp.asarray, batch)
  # What the student does not see it cannot match.
  config = DistilConfig(num_predictions=B * L, num_texts=5)

  @jax.jit
  def loss(params):
    model = nnx.merge(graphdef, params, frozen, copy=True)
    values, weights, metrics = distillation.losses(
      model, jax.random.key(0), batch, taught, None, teacher=teacher_graphdef, config=config
    )
    return (values * weights).sum() / weights.sum(), metrics['text_loss']

  return loss, params


def test_the_teacher_is_where_the_gradient_vanishes(lesson):
  loss, params = lesson
  gradient, text_loss = jax.grad(loss, has_aux=True)(params)
  assert float(text_loss) == pytest.approx(0, abs=1e-8)
  assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient)) < 1e-5


@pytest.mark.parametrize('place', ['id', 'hidden', 'text', 'users'])
def test_away_from_the_teacher_the_loss_is_higher(lesson, place):
  loss, params = lesson
  rng = np.random.default_rng(3)

  def moved(path, leaf):
    noise = jnp.asarray(rng.normal(scale=0.3, size=leaf.shape), leaf.dtype)
    return leaf + noise * (path[0].key == place)

  other = jax.tree_util.tree_map_with_path(moved, params)
  assert float(loss(other)[0]) > float(loss(params)[0]) + 1e-5


@pytest.mark.parametrize(('width', 'expected'), [(5, 5), (400, 128)])
def test_token_vectors_are_no_wider_than_those_of_the_encoder(width, expected):
  make = functools.partial(
    distillation.new_student, DistilConfig(), 6, (50, width), 8, history_length=4, seed=0
  )
  student = nnx.eval_shape(lambda: make(linear_rank=0))
  assert student.token.embedding.shape == (50, expected)


def test_a_student_begins_with_the_trend_and_the_prior_of_its_teacher():
  data = served.dataset()
  taught = served.teacher(data)
  made = distillation._untrained(taught, data, served.DISTIL, served.FINETUNE, 0)
  items = taught.towers.items
  assert np.asarray(made.trend[...]).any() and np.asarray(made.new.bias[...]).any()
  np.testing.assert_array_equal(made.trend[...], items.trend[...])
  np.testing.assert_array_equal(made.new.bias[...], items.new.bias[...])
  assert made.new.place[...] == items.new.place[...] == 5
