"""Where an item of which only the text is known stands: its vector, and its prior."""

import functools
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data.tokenizer import Tokens
from rec_jax.models import encoding
from rec_jax.models.student import Student
from rec_jax.models.two_tower import ItemTower
from rec_jax.retrieval import padding
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.tasks import text_encoders, two_tower_model
from rec_jax.tasks.two_tower_model import TwoTowerModel


class Placed(NamedTuple):
  """Items by their text.

  Attributes:
    vectors: [n, D + R].
    bias: [n], what is added to their logits.
  """

  vectors: np.ndarray
  bias: np.ndarray


# Texts, and features [n, F], to where they stand.
Place = Callable[[Sequence[str], np.ndarray], Placed]


def place(
  model: Student | TwoTowerModel,
  teacher: Callable[[], TwoTowerModel],
  tokenize: Callable[[Sequence[str]], Tokens],
) -> Place:
  """The function that places texts as `model` places the new items of its catalogue.

  Args:
    model: in evaluation mode.
    teacher: loads it; only it tells from a text how popular an item will be.
    tokenize: texts to tokens.
  """

  def placed(texts: Sequence[str], features: np.ndarray) -> Placed:
    tokens = tokenize(texts)
    if isinstance(model, Student) and _is_constant(model.new.bias[...]):
      bias = np.repeat(np.asarray(model.new.bias[...])[:1], len(texts))
      return Placed(by_student(model, *tokens[:2], features), bias)
    items, encoder = teacher().towers.items, two_tower_model.text_encoder(teacher())
    text = jnp.asarray(encoding.text_vectors(encoder, *tokens[:2]))
    told = jnp.asarray(features)
    weight, constant = prior_of(items)
    bias = constant + weight * np.asarray(items.regressed(text, told))[:, -1]
    if isinstance(model, Student):
      return Placed(by_student(model, *tokens[:2], features), bias)
    return Placed(np.asarray(items.from_text(text, told)), bias)

  return placed


def from_run(
  config: Config, workdir: str | os.PathLike[str], model: Student | TwoTowerModel, num_items: int
) -> Place:
  """`place` of a run; encoder, teacher and tokenizer are loaded when a text comes."""

  @functools.cache
  def teacher() -> TwoTowerModel:
    if isinstance(model, TwoTowerModel):
      return model
    return artefacts.load_two_tower(config, workdir, 'teacher', config.seed, num_items)

  def tokenize(texts: Sequence[str]) -> Tokens:
    artefacts.check_text_model(config, workdir)
    return text_encoders.encode(config.data, texts)

  return place(model, teacher, tokenize)


def by_student(
  student: Student, input_ids: np.ndarray, mask: np.ndarray, features: np.ndarray
) -> np.ndarray:
  """[n, D + R] of texts [n, L] with features [n, F] by a student."""
  parts = []
  for part in padding.chunks(np.arange(len(input_ids))):
    texts = (jnp.asarray(each[part.rows]) for each in (input_ids, mask, features))
    parts.append(np.asarray(_from_tokens(student, *texts))[: part.number])
  return np.concatenate(parts)


def prior_of(items: ItemTower) -> tuple[float, float]:
  """(weight, bias): the prior of new items is bias + weight * popularity, as `choose_prior` set it.

  The prior of each item of the catalogue is kept, so the two are a straight line through them.
  """
  popularity = np.asarray(items.new_popularity(), np.float64)
  prior = np.asarray(items.new.bias[...], np.float64)
  centred = popularity - popularity.mean()
  spread = centred @ centred
  weight = float(centred @ prior / spread) if spread > 1e-12 else 0.0
  return weight, float(prior.mean() - weight * popularity.mean())


def _is_constant(bias: jax.Array) -> bool:
  """Whether the prior is the same whatever the text: then no teacher has to be asked."""
  return bool(np.ptp(np.asarray(bias)) < 1e-6)


@nnx.jit
def _from_tokens(
  student: Student, input_ids: jax.Array, mask: jax.Array, features: jax.Array
) -> jax.Array:
  return student.from_tokens(input_ids, mask, features)
