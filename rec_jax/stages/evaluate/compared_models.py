"""The models that a run compares, each as a function from queries to scores of the catalogue.

All are fitted on the training events and none is fitted again with the validation events; what
a baseline has to tune, it tunes on the validation events.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.models import encoding
from rec_jax.models.baselines import ease, popularity
from rec_jax.models.student import Student
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.tasks import distillation, events, full_ranking, next_item, text_encoders, zero_shot
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.tasks.item_to_item import DECAYS, LAMBDAS
from rec_jax.training import tracking

POPULARITY, EASE, ID_ONLY = 'popularity', 'EASE', 'id-only'
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
  """Popularity, recency-weighted EASE, and published text vectors that nothing has trained.

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

  def linear_models() -> Iterable[tuple[dict[str, float], OfDecay]]:
    for lambda_ in LAMBDAS:
      weights = ease.fit(user, item, num_items, lambda_=lambda_)
      yield {'lambda': lambda_}, functools.partial(_item_to_item, weights)

  if directions is None:
    directions = text_directions(config, dataset)
  by_text = functools.partial(_by_text, directions)
  with tracking.progress('baselines', len(LAMBDAS) + 1) as advance:
    return {
      POPULARITY: ComparedModel([lambda asked: popularity.scores(counts, asked.history)]),
      EASE: _tuned(linear_models(), validation, num_items, advance),
      ZERO_SHOT: _tuned([({}, by_text)], validation, num_items, advance),
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
    return _two_tower_scores(model, asked.history, asked.rewards, met, asked.times, asked.context)

  return ComparedModel([functools.partial(scores, model) for model in models])


def students(config: Config, workdir: str | os.PathLike[str], num_items: int) -> ComparedModel:
  """The models of the stage `distil`."""
  models = (
    artefacts.load_student(config, workdir, seed, num_items) for seed in artefacts.seeds(config)
  )

  def scores(model: Student, asked: Queries) -> jax.Array:
    met = ~asked.unseen(num_items)
    return _student_scores(model, asked.history, asked.rewards, met, asked.context)

  return ComparedModel([functools.partial(scores, model) for model in models])


# Compiled once for all seeds: the model is an argument.
_two_tower_scores = nnx.jit(next_item.score)
_student_scores = nnx.jit(distillation.score)
_item_to_item_scores = jax.jit(ease.scores)
_text_scores = jax.jit(zero_shot.scores)

# A recency decay to the model that has it.
OfDecay = Callable[[float], Score]


def _tuned(
  models: Iterable[tuple[dict[str, float], OfDecay]],
  validation: Queries,
  num_items: int,
  advance: tracking.Advance,
) -> ComparedModel:
  """The model and the decay that are best in NDCG@10 on `validation`."""
  everything = np.ones(num_items, bool)

  def trials() -> Iterator[tuple[float, ComparedModel]]:
    for settings, of_decay in models:
      for decay in DECAYS:
        score = of_decay(decay)
        ranked = full_ranking.rank_targets(score, validation, everything)
        yield float(ranked['ndcg@10'].mean()), ComparedModel([score], settings | {'decay': decay})
      advance()

  return max(trials(), key=lambda trial: trial[0])[1]


def _item_to_item(weights: jax.Array, decay: float) -> Score:
  return lambda asked: _item_to_item_scores(weights, asked.history, decay=decay)


def _by_text(directions: jax.Array, decay: float) -> Score:
  return lambda asked: _text_scores(directions, asked.history, decay=decay)
