"""The models that a run compares, each as a function from queries to scores of the catalogue.

All are fitted on the training events and none is fitted again with the validation events; what
a baseline has to tune, it tunes on the validation events.
"""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.models import encoding
from rec_jax.models.baselines import ease, popularity, recent_popularity
from rec_jax.models.student import Student
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.tasks import (
  distillation,
  events,
  full_ranking,
  next_item,
  text_encoders,
  trends,
  zero_shot,
)
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.tasks.item_to_item import DECAYS, LAMBDAS
from rec_jax.training import tracking

POPULARITY, RECENT = 'popularity', 'recent popularity'
EASE, ID_ONLY = 'EASE', 'id-only'
ZERO_SHOT, TEACHER, STUDENT = 'text zero-shot', 'teacher', 'student'


@dataclasses.dataclass(frozen=True)
class ComparedModel:
  """A kind of model.

  Attributes:
    scores: one for each seed; a single one where no chance enters.
    tuned: what was chosen on the validation events, by name.
  """

  scores: Sequence[Score]
  tuned: Mapping[str, float] = dataclasses.field(default_factory=dict)


def baselines(
  config: Config, dataset: Dataset, directions: jax.Array | None = None
) -> dict[str, ComparedModel]:
  """Popularity, also of late, recency-weighted EASE, and published text that nothing has trained.

  Args:
    config: of the run.
    dataset: of the stage `prepare`.
    directions: what `text_directions` says, where it is known.
  """
  interactions = dataset.interactions
  train = splits.training_events(interactions, dataset.split)
  # All of them count users, each once however often they come back.
  user, item = np.unique([interactions.user[train], interactions.item[train]], axis=1)
  num_items = dataset.items.num_items
  counts = popularity.fit(item, np.ones(len(item)), interactions.num_users, num_items)
  validation = events.validation_queries(
    dataset, config.finetune, config.data.positive_rating, config.seed
  )

  if directions is None:
    directions = text_directions(config, dataset)
  with tracking.progress('baselines', len(LAMBDAS) + 2) as advance:

    def linear() -> Iterator[Trial]:
      for lambda_ in LAMBDAS:
        weights = ease.fit(user, item, num_items, lambda_=lambda_)
        for decay in DECAYS:
          score = functools.partial(_item_to_item, weights, decay)
          yield {'lambda': lambda_, 'decay': decay}, score
        advance()

    def of_late() -> Iterator[Trial]:
      for days, recent in trends.recent_counts(dataset):
        score = functools.partial(_same_for_all, jnp.asarray(recent))
        yield {'half-life in days': days}, score
      advance()

    def text() -> Iterator[Trial]:
      for decay in DECAYS:
        yield {'decay': decay}, functools.partial(_by_text, directions, decay)
      advance()

    def tuned(trials: Iterable[Trial]) -> ComparedModel:
      return _tuned(trials, validation, num_items)

    return {
      POPULARITY: ComparedModel([lambda asked: popularity.scores(counts, asked.history)]),
      RECENT: tuned(of_late()),
      EASE: tuned(linear()),
      ZERO_SHOT: tuned(text()),
    }


def text_directions(config: Config, dataset: Dataset) -> jax.Array:
  """[N, H] directions of the published text vectors of items."""
  encoder = text_encoders.published(config.data)
  vectors = encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)
  return zero_shot.directions(vectors, ~dataset.split.cold_items)


def two_towers(
  config: Config, workdir: str | os.PathLike[str], variant: str, num_items: int
) -> ComparedModel:
  """The models of one variant of the stage `finetune`."""
  models = (
    artefacts.load_two_tower(config, workdir, variant, seed, num_items)
    for seed in artefacts.seeds(config)
  )
  return of_two_towers(models, num_items)


def of_two_towers(models: Iterable[next_item.TwoTowerModel], num_items: int) -> ComparedModel:
  """Models in evaluation mode, one a seed."""

  def scores(model: next_item.TwoTowerModel, asked: Queries) -> jax.Array:
    met = ~asked.unseen(num_items)
    return _two_tower_scores(model, asked.history, asked.rewards, met, asked.times)

  return ComparedModel([functools.partial(scores, model) for model in models])


def students(config: Config, workdir: str | os.PathLike[str], num_items: int) -> ComparedModel:
  """The models of the stage `distil`."""
  models = (
    artefacts.load_student(config, workdir, seed, num_items) for seed in artefacts.seeds(config)
  )

  def scores(model: Student, asked: Queries) -> jax.Array:
    return _student_scores(model, asked.history, asked.rewards, ~asked.unseen(num_items))

  return ComparedModel([functools.partial(scores, model) for model in models])


# Compiled once for all seeds: the model is an argument.
_two_tower_scores = nnx.jit(next_item.score)
_student_scores = nnx.jit(distillation.score)
_item_to_item_scores = jax.jit(ease.scores)
_text_scores = jax.jit(zero_shot.scores)

# What was set, and the model that it makes.
Trial = tuple[dict[str, float], Score]


def _tuned(trials: Iterable[Trial], validation: Queries, num_items: int) -> ComparedModel:
  """The trial that is best in NDCG@10 on `validation`."""
  everything = np.ones(num_items, bool)

  def ndcg(trial: Trial) -> float:
    ranked = full_ranking.rank_targets(trial[1], validation, everything)
    return float(ranked['ndcg@10'].mean())

  settings, score = max(trials, key=ndcg)
  return ComparedModel([score], settings)


def _item_to_item(weights: jax.Array, decay: float, asked: Queries) -> jax.Array:
  return _item_to_item_scores(weights, asked.history, decay=decay)


def _same_for_all(counts: jax.Array, asked: Queries) -> jax.Array:
  return recent_popularity.scores(counts, asked.history)


def _by_text(directions: jax.Array, decay: float, asked: Queries) -> jax.Array:
  return _text_scores(directions, asked.history, decay=decay)
