"""What exploration takes from the models of the chain: features, user vectors, problems."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.environments.visits import EncodeUser
from rec_jax.models.features import candidate_features
from rec_jax.models.student import Student
from rec_jax.stages import distil, encoding, finetune, prepare, pretrain, problems
from rec_jax.stages.config import Config
from rec_jax.stages.prepare import Dataset
from rec_jax.stages.problems import Problem
from rec_jax.types import Interactions


@dataclasses.dataclass(frozen=True)
class Chain:
  """The data and the models of a run.

  Attributes:
    config: of the run.
    dataset: from `prepare`.
    student: of the first seed.
    student_vectors: (items [N, D], users before the cut [U', D]) of the student.
    teacher_vectors: likewise of the teacher.
    text_vectors: [N, H] of the published encoder, without any fine-tuning.
  """

  config: Config
  dataset: Dataset
  student: Student
  student_vectors: tuple[np.ndarray, np.ndarray]
  teacher_vectors: tuple[np.ndarray, np.ndarray]
  text_vectors: np.ndarray

  def problem(self, name: str) -> Problem:
    """The problem after the cut, with the student's features."""
    explore = self.config.explore
    return self._problem(
      name, self.dataset.interactions, self.dataset.split.num_before, explore.max_visitors
    )

  def tuning_problem(self, name: str) -> Problem:
    """The same kind of problem on the events before the cut alone, cut again."""
    before = splits.take_before(self.dataset.interactions, self.dataset.split.num_before)
    num_before = int(self.config.data.cut * before.num_events)
    return self._problem(name, before, num_before, self.config.explore.tuning_visitors)

  def cold_problem(self) -> Problem:
    """The whole catalogue with nothing learnt before the cut: prior belief, zero-shot text."""
    problem = self.problem(problems.CATALOGUE)
    size = len(self.text_vectors)
    features = candidate_features(
      self.text_vectors, self.text_vectors, np.full(size, 0.1), self.config.explore.num_features
    )
    return dataclasses.replace(
      problem.with_features(features), a0=jnp.ones(size), b0=jnp.full(size, 9.0)
    )

  def with_teacher(self, problem: Problem) -> Problem:
    """The problem with the teacher's features."""
    return problem.with_features(_features(problem, *self.teacher_vectors, self.config))

  def encoded(self, problem: Problem) -> Problem:
    """The problem whose queries are the student's user vectors, to go with its item vectors."""
    graphdef, state = nnx.split(self.student)
    items, _ = self.student_vectors
    params = {'state': state, 'items': jnp.asarray(items)}
    return problems.with_history(problem.with_features(items), _encoder(graphdef), params)

  def _problem(
    self, name: str, interactions: Interactions, num_before: int, max_visitors: int
  ) -> Problem:
    items, _ = self.student_vectors
    problem = problems.build(
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
    return problem.with_features(_features(problem, *self.student_vectors, self.config))


def load(config: Config, workdir: str | os.PathLike[str]) -> Chain:
  """Loads the models of a run's first seed."""
  dataset = prepare.load(workdir)
  num_items = dataset.items.num_items
  student = distil.load(config, workdir, config.seed, num_items)
  teacher = finetune.load(config, workdir, 'teacher', config.seed, num_items)
  history, rewards = _histories_before(config, dataset)

  def vectors(encode_users: Any, items: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(items), np.asarray(jax.jit(encode_users)(items, history, rewards))

  return Chain(
    config=config,
    dataset=dataset,
    student=student,
    student_vectors=vectors(student.encode_users, student.item_vectors()),
    teacher_vectors=vectors(teacher.towers.encode_users, teacher.towers.items()),
    text_vectors=encoding.text_vectors(
      pretrain.published_encoder(), dataset.input_ids, dataset.attention_mask
    ),
  )


def _features(problem: Problem, items: np.ndarray, users: np.ndarray, config: Config) -> np.ndarray:
  mean_reward = np.asarray(problem.a0 / (problem.a0 + problem.b0))
  return candidate_features(items, users, mean_reward, config.explore.num_features)


def _histories_before(config: Config, dataset: Dataset) -> tuple[jax.Array, jax.Array]:
  """Histories and rewards [U', L] of the users before the cut, or of a sample of them."""
  interactions, split = dataset.interactions, dataset.split
  users = np.flatnonzero(~split.cold_users)
  limit = config.finetune.num_validation_users
  if len(users) > limit:
    users = np.random.default_rng(config.seed).choice(users, limit, replace=False)
  before = np.arange(interactions.num_events) < split.num_before
  past = splits.histories(interactions, before)
  end = past.offsets[users + 1]
  start = np.maximum(past.offsets[users], end - config.finetune.history_length)
  length = config.finetune.history_length
  liked = interactions.reward(config.data.positive_rating)[past.events].astype(np.int32)
  history = splits.gather_windows(past.items, start, end, length)
  rewards = np.maximum(splits.gather_windows(liked, start, end, length) - 1, 0)
  return jnp.asarray(history), jnp.asarray(rewards)


def _encoder(graphdef: Any) -> EncodeUser:
  """The student's user tower, for the histories of a rollout (newest last, padding in front)."""

  def encode_user(params: Any, items: jax.Array, rewards: jax.Array, mask: jax.Array) -> jax.Array:
    student = nnx.view(nnx.merge(graphdef, params['state']), deterministic=True)
    # The tower wants padding at the end.
    shift = -(len(mask) - jnp.sum(mask))
    history = jnp.roll(jnp.where(mask, items + 1, 0), shift)
    liked = jnp.roll(jnp.where(mask, rewards, 0), shift).astype(jnp.int32)
    return student.encode_users(params['items'], history[None], liked[None])[0]

  return encode_user
