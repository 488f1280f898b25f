"""What exploration takes from the models of the chain: features and worlds."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.environments.visits import EncodeUser
from rec_jax.models import encoding
from rec_jax.models.features import candidate_features
from rec_jax.models.student import Student
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.stages.explore import worlds
from rec_jax.stages.explore.worlds import World
from rec_jax.tasks import text_encoders
from rec_jax.types import Interactions


@dataclasses.dataclass(frozen=True)
class Chain:
  """The data and the models of a run.

  Attributes:
    config: of the run.
    dataset: from `prepare`.
    student: of the first seed.
    student_vectors: [N, D], items of the student.
    teacher_vectors: [N, D'], of the teacher.
    text_vectors: [N, H] of the published encoder, without any fine-tuning.
  """

  config: Config
  dataset: Dataset
  student: Student
  student_vectors: np.ndarray
  teacher_vectors: np.ndarray
  text_vectors: np.ndarray

  def world(self, name: str) -> World:
    """The world after the cut, with the student's features; nothing is shown twice in it."""
    first = splits.first_meetings(self.dataset.interactions, self.dataset.split.num_before)
    return self._world(name, *first, self.config.explore.max_visitors)

  def tuning_world(self, name: str) -> World:
    """The same kind of world on the events before the cut alone, cut again."""
    first = splits.first_meetings(self.dataset.interactions, self.dataset.split.num_before)
    before = splits.take_before(*first)
    num_before = int(self.config.data.cut * before.num_events)
    return self._world(name, before, num_before, self.config.explore.tuning_visitors)

  def cold_world(self) -> World:
    """The whole catalogue with nothing learnt before the cut: prior belief, zero-shot text."""
    size = len(self.text_vectors)
    world = dataclasses.replace(
      self.world(worlds.CATALOGUE),
      a0=jnp.ones(size),
      b0=jnp.full(size, 9.0, jnp.float32),
      num_events=jnp.zeros(size),
    )
    return with_features(world, self.text_vectors, self.config)

  def with_teacher(self, world: World) -> World:
    """The world with the teacher's features."""
    return with_features(world, self.teacher_vectors, self.config)

  def encoded(self, world: World) -> World:
    """The world whose queries are the student's user vectors, to go with its item vectors."""
    graphdef, state = nnx.split(self.student)
    items = self.student_vectors
    params = {'state': state, 'items': jnp.asarray(items)}
    return worlds.with_history(world.with_features(items), _encoder(graphdef), params)

  def _world(
    self, name: str, interactions: Interactions, num_before: int, max_visitors: int
  ) -> World:
    items = self.student_vectors
    world = worlds.build(
      name,
      interactions,
      num_before,
      len(items),
      items,
      self.config.data.positive_rating,
      max_visitors,
      self.config.explore,
      self.config.seed,
    )
    world = dataclasses.replace(world, protocol=f'{world.protocol}; {worlds.FIRST_SEED}')
    return with_features(world, items, self.config)


def load(config: Config, workdir: str | os.PathLike[str]) -> Chain:
  """Loads the models of a run's first seed."""
  dataset = artefacts.load_dataset(workdir)
  num_items = dataset.items.num_items
  student = artefacts.load_student(config, workdir, config.seed, num_items)
  teacher = artefacts.load_two_tower(config, workdir, 'teacher', config.seed, num_items)
  return Chain(
    config=config,
    dataset=dataset,
    student=student,
    student_vectors=np.asarray(student.item_vectors()),
    teacher_vectors=np.asarray(teacher.towers.items.vectors()),
    text_vectors=encoding.text_vectors(
      text_encoders.published(config.data), dataset.input_ids, dataset.attention_mask
    ),
  )


def with_features(world: World, items: np.ndarray, config: Config) -> World:
  """The world whose candidate features are made of item vectors [N, D] of any scale."""
  mean_reward = np.asarray(world.a0 / (world.a0 + world.b0))
  num_features = min(config.explore.num_features, items.shape[1])
  return world.with_features(candidate_features(items, mean_reward, num_features))


def _encoder(graphdef: Any) -> EncodeUser:
  """The student's user tower, for the histories of a rollout (newest last, padding in front)."""

  def encode_user(params: Any, items: jax.Array, rewards: jax.Array, mask: jax.Array) -> jax.Array:
    student = nnx.view(nnx.merge(graphdef, params['state']), deterministic=True)
    # The tower wants padding at the end.
    shift = -(len(mask) - jnp.sum(mask))
    history = jnp.roll(jnp.where(mask, items + 1, 0), shift)
    liked = jnp.roll(jnp.where(mask, rewards, 0), shift).astype(jnp.int32)
    # An item that was shown without a reward is none that the user chose.
    return student.encode_users(params['items'], history[None], liked[None], liked[None] > 0)[0]

  return encode_user
