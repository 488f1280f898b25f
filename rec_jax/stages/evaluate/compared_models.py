"""The models that a run compares, each as a function from queries to scores of the catalogue.

All are fitted on the training events and none is fitted again with the validation events; what
a baseline has to tune, it tunes on the validation events.
"""

import dataclasses
import functools
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax import host
from rec_jax.data.dataset import Dataset
from rec_jax.models import encoding
from rec_jax.models.baselines import ease, popularity, recent_popularity, registry
from rec_jax.models.student import Student
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.tasks import (
  distillation,
  events,
  full_ranking,
  text_encoders,
  trends,
  two_tower_model,
  zero_shot,
)
from rec_jax.tasks.baselines import training_events
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.tasks.item_to_item import DECAYS, LAMBDAS
from rec_jax.training import tracking

POPULARITY, RECENT = 'popularity', 'recent popularity'
EASE, ID_ONLY = 'EASE', 'id-only'
ZERO_SHOT, TEACHER, STUDENT = 'text zero-shot', 'teacher', 'student'
TEXT_ONLY = 'text-only'
# Of the memory of the machine that a baseline may take.
_SHARE = 0.5

logger = logging.getLogger(__name__)


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

  EASE is left out, with a warning, where its matrices of items by items would take more than half
  of the memory of the machine.

  Args:
    config: of the run.
    dataset: of the stage `prepare`.
    directions: what `text_directions` says, where it is known.
  """
  # All of them count users, each once however often they come back.
  seen, num_items = training_events(dataset), dataset.items.num_items
  counts = popularity.fit(seen.item, np.ones(len(seen.item)), seen.num_users, num_items)
  validation = events.validation_queries(
    dataset, config.finetune, config.data.positive_rating, config.seed
  )

  if directions is None:
    directions = text_directions(config, dataset)
  too_large = registry.left_out('ease', seen.num_users, num_items, _SHARE * host.memory())
  with tracking.progress('baselines', len(LAMBDAS) + 2) as advance:

    def linear() -> Iterator[Trial]:
      for lambda_ in LAMBDAS:
        weights = ease.fit(seen.user, seen.item, num_items, lambda_=lambda_)
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

    models = {
      POPULARITY: ComparedModel([lambda asked: popularity.scores(counts, asked.history)]),
      RECENT: tuned(of_late()),
    }
    if too_large:
      logger.warning('%s', too_large)
    else:
      models[EASE] = tuned(linear())
    return models | {ZERO_SHOT: tuned(text())}


def text_directions(config: Config, dataset: Dataset) -> jax.Array:
  """[N, H] directions of the published text vectors, centred on items with training events."""
  encoder = text_encoders.published(config.data)
  vectors = encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)
  return zero_shot.directions(vectors, dataset.split.trained_items)


def two_towers(
  config: Config, workdir: str | os.PathLike[str], variant: str, num_items: int
) -> ComparedModel:
  """The models of one variant of the stage `finetune`."""
  models = (
    artefacts.load_two_tower(config, workdir, variant, seed, num_items)
    for seed in artefacts.seeds(config)
  )
  return of_two_towers(models, num_items)


def of_two_towers(models: Iterable[two_tower_model.TwoTowerModel], num_items: int) -> ComparedModel:
  """Models in evaluation mode, one a seed."""

  def scores(model: two_tower_model.TwoTowerModel) -> Score:
    vectors = functools.cache(lambda: two_tower_model.item_vectors(model))

    def score(asked: Queries) -> jax.Array:
      met = ~asked.unseen(num_items)
      given = asked.history, asked.rewards, met, asked.times
      return two_tower_model.compiled_score(model, *given, asked.context, vectors())

    return score

  return ComparedModel([scores(model) for model in models])


def students(config: Config, workdir: str | os.PathLike[str], num_items: int) -> ComparedModel:
  """The models of the stage `distil`."""
  models = (
    artefacts.load_student(config, workdir, seed, num_items) for seed in artefacts.seeds(config)
  )

  def scores(model: Student) -> Score:
    vectors = functools.cache(lambda: distillation.catalogue_vectors(model))

    def score(asked: Queries) -> jax.Array:
      given = asked.history, asked.rewards, ~asked.unseen(num_items), asked.context
      return _student_scores(model, *given, vectors())

    return score

  return ComparedModel([scores(model) for model in models])


# Compiled once for all seeds: the model is an argument.

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
