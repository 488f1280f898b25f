"""What teacher and student cost: parameters, and the time from unseen text to scores."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np
from flax import nnx

from rec_jax.data.dataset import Dataset
from rec_jax.models.student import Student
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate.compared_models import STUDENT, TEACHER
from rec_jax.tasks.two_tower_model import TwoTowerModel

NUM_TEXTS = 64
NUM_USERS = 32
_REPEATS = 5

PARAMETERS = 'parameters'
_PROTOCOL = 'trained and frozen weights, both towers and the text encoder, first seed'


def measure(
  config: Config, workdir: str | os.PathLike[str], dataset: Dataset
) -> tuple[list[dict[str, Any]], dict[str, float]]:
  """Rows with the number of parameters, and the measured seconds.

  Returns:
    (rows, {`timing_name` of the model: median seconds}), the time to encode `NUM_TEXTS` texts of
    which only the tokens are known and to score them for `NUM_USERS` user vectors, once compiled.
  """
  num_items = dataset.items.num_items
  teacher = artefacts.load_two_tower(config, workdir, 'teacher', config.seed, num_items)
  student = artefacts.load_student(config, workdir, config.seed, num_items)
  rows = [_row(TEACHER, num_parameters(teacher)), _row(STUDENT, num_parameters(student))]
  chosen = np.arange(NUM_TEXTS) % num_items
  texts = dataset.input_ids[chosen], dataset.attention_mask[chosen]
  width = teacher.towers.items.dim + teacher.towers.items.linear.sought.shape[1]
  seconds = {
    TEACHER: _median_seconds(_teacher_scores, teacher, *texts, width),
    STUDENT: _median_seconds(_student_scores, student, *texts, student.out.out_features),
  }
  return rows, {timing_name(name): value for name, value in seconds.items()}


def timing_name(subject: str) -> str:
  """Under which name `timings.json` holds the time of a model."""
  return f'{subject}: {NUM_TEXTS} unseen texts, {NUM_USERS} users'


def num_parameters(model: nnx.Module) -> int:
  """Elements of all parameters; buffers such as cached text vectors do not count."""
  return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


@jax.jit
def _teacher_scores(
  model: TwoTowerModel, input_ids: jax.Array, mask: jax.Array, users: jax.Array
) -> jax.Array:
  encoder = cast(TextEncoder, model.encoder)  # Only an id-only model has none.
  text = encoder.pool(encoder(input_ids, mask), mask)
  return users @ model.towers.items.from_text(text).T


@jax.jit
def _student_scores(
  model: Student, input_ids: jax.Array, mask: jax.Array, users: jax.Array
) -> jax.Array:
  return users @ model.from_tokens(input_ids, mask).T


def _median_seconds(
  scores: Callable[..., jax.Array],
  model: nnx.Module,
  input_ids: np.ndarray,
  mask: np.ndarray,
  dim: int,
) -> float:
  users = jax.random.normal(jax.random.key(0), (NUM_USERS, dim))
  scores(model, input_ids, mask, users).block_until_ready()
  seconds = []
  for _ in range(_REPEATS):
    begin = time.perf_counter()
    scores(model, input_ids, mask, users).block_until_ready()
    seconds.append(time.perf_counter() - begin)
  return statistics.median(seconds)


def _row(subject: str, count: int) -> dict[str, Any]:
  return runs.count_row('evaluate', subject, PARAMETERS, count, 1, _PROTOCOL)
