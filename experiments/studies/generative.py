"""Is the next item better found by an inner product or by generating its semantic id?"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from experiments.studies import chain
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import ranking
from rec_jax.models.generative import catalogue as catalogues
from rec_jax.models.generative.catalogue import Catalogue
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.two_tower import TwoTower
from rec_jax.runs.config import Config, FinetuneConfig
from rec_jax.runs.study import Study, Values, override
from rec_jax.stages.evaluate import compared_models, ranking_comparison
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.stages.finetune import fit
from rec_jax.tasks import (
  baselines,
  catalogue_text,
  full_ranking,
  next_item,
  semantic_ids,
  text_encoders,
)
from rec_jax.tasks.catalogue_text import CatalogueText
from rec_jax.tasks.config import GenerativeConfig
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.training import loop

POPULARITY, GENERATIVE, BEAM = 'popularity', 'generative', 'beam'
TWO_TOWERS = {'text + id': 'teacher', 'id': 'id_only', 'text': 'text_only'}
PARAMETERS, BYTES = 'parameters beside the text encoder', 'bytes that an item takes'
TIME = 'processor time of a recommendation, ms'
# Lists of ten, and answers that are timed.
_K, _ANSWERS = 10, 30
# One query to what a recommender gives out.
Answer = Callable[[Queries], Any]


@dataclasses.dataclass
class GenerativeStudyConfig:
  """One model.

  Attributes:
    seed: of the model.
    model: 'popularity', 'generative' (exact scores), 'beam' (the same by beam search), or empty for
      the two towers of `chain.finetune.variants`.
    generative: what is of the generative model alone.
    chain: settings of the data and of what all models share.
  """

  seed: int = 0
  model: str = ''
  generative: GenerativeConfig = dataclasses.field(default_factory=GenerativeConfig)
  # Semantic ids are made of text vectors once and for all, so the towers read the same.
  chain: Config = dataclasses.field(
    default_factory=lambda: chain.movielens(finetune=FinetuneConfig(encoder_method='frozen'))
  )


def get_study() -> Study:
  """Popularity, the two towers and the generative model, with what each costs."""
  variants: dict[str, dict[str, Any]] = {'popularity': {'model': POPULARITY}}
  variants |= {
    f'two towers, {label}': {'chain.finetune.variants': variant}
    for label, variant in TWO_TOWERS.items()
  }
  variants |= {'generative': {'model': GENERATIVE}}
  for share in (0.05, 0.2, 0.5):
    variants[f'generative, {share:.0%} for new items'] = {
      'model': GENERATIVE,
      'generative.new_share': share,
    }
  for width in (10, 50):
    variants[f'generative, beam of {width}'] = {'model': BEAM, 'generative.beam_width': width}
  return Study(
    title='Is the next item found by an inner product or by generating its semantic id?',
    protocol=(
      'models of {config.chain.data.source} that read the same histories by the same user tower, '
      'and the same published text vectors, which no training changes; next item: the held-out '
      'event of each ranked user (split {config.chain.data.split}), whole catalogue; unseen items: '
      'events after the cut at {config.chain.data.cut} on items without an event before it; seen '
      'items excluded; costs of one recommendation of ten items, one user at a time: median of '
      f'{_ANSWERS} of processor time, item vectors and trees being there'
    ),
    config=GenerativeStudyConfig(),
    variants=variants,
    baseline='two towers, text + id',
    seeds=range(3),
    measure=measure,
  )


def measure(config: GenerativeStudyConfig, root: Path) -> Mapping[str, Values]:
  """Ranks the next item and unseen items by one model, and says what it costs."""
  settings = override(config.chain, {'seed': config.seed})
  dataset = chain.prepared(settings, root)
  if config.model == POPULARITY:
    score = baselines.fit(POPULARITY, baselines.training_events(dataset), {}, config.seed)
    model, cost = ComparedModel([score]), _cost(dataset, settings, 0, 4.0, score)
  elif config.model:
    model, cost = _generative(config, settings, dataset, root)
  else:
    model, cost = _two_towers(settings, dataset, root)
  found = ranking_comparison.next_item_per_query(settings, dataset, model)
  found |= ranking_comparison.unseen_per_query(settings, dataset, model)
  return found | {name: Values([value], [f'seed {config.seed}']) for name, value in cost.items()}


def _generative(
  config: GenerativeStudyConfig, settings: Config, dataset: Dataset, root: Path
) -> tuple[ComparedModel, dict[str, float]]:
  """The model, trained once for all variants that ask it otherwise, and what it costs."""
  own, num_items = config.generative, dataset.items.num_items
  encoder, text = _catalogue(settings, dataset)
  vectors = catalogue_text.text_vectors(encoder, text)
  ids = semantic_ids.make_ids(dataset, vectors, config.seed)
  rating = settings.data.positive_rating
  task = semantic_ids.task(ids, dataset, settings.finetune, own, rating, config.seed)
  directory = root / 'models' / f'seed {config.seed}, generative, {own.num_layers} blocks'
  state, parts = loop.train(
    task, directory, jax.random.key(config.seed), dataclasses.asdict(config)
  )
  model = nnx.view(parts.merge(*state.best), deterministic=True)
  catalogue = semantic_ids.catalogue(dataset, ids, own)
  if config.model == BEAM:
    score = semantic_ids.beam_score(model, catalogue, num_items, _K, own.beam_width)
    answer = _by_beam(model, catalogue, num_items, own.beam_width)
  else:
    score = semantic_ids.score(model, catalogue)
    answer = _exactly(score, num_items)
  parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
  held = jax.tree.leaves((nnx.state(model, nnx.Not(nnx.Param)), catalogue.trees))
  size = sum(leaf.nbytes for leaf in held) / num_items
  return ComparedModel([score]), _cost(dataset, settings, parameters, size, answer)


def _two_towers(
  settings: Config, dataset: Dataset, root: Path
) -> tuple[ComparedModel, dict[str, float]]:
  """The model as the stage `finetune` makes it, and its cost with item vectors computed once."""
  variant, seed, num_items = settings.finetune.variants, settings.seed, dataset.items.num_items
  common = fit.shared(settings, dataset, *_catalogue(settings, dataset))
  directory = root / 'models' / f'seed {seed}, {variant}'
  model = fit.fit(variant, common, settings, seed, directory).model
  towers, path = model.towers, model.towers.items.linear
  vectors = towers.items.vectors()
  size = (vectors.nbytes + path.given[...].nbytes) / num_items
  # The linear path is fitted in closed form, and is no less of the model.
  learnt = (nnx.state(towers, nnx.Param), path.sought[...], path.given[...])
  parameters = sum(leaf.size for leaf in jax.tree.leaves(learnt))

  def answer(asked: Queries) -> jax.Array:
    return _two_tower_top(towers, vectors, asked.history, asked.rewards, asked.unseen(num_items))

  cost = _cost(dataset, settings, parameters, size, answer)
  return compared_models.of_two_towers([model], num_items), cost


def _catalogue(settings: Config, dataset: Dataset) -> tuple[TextEncoder, CatalogueText]:
  """The published encoder and the texts, encoded once for all models of a data set."""
  own = dataset.fingerprint, *dataclasses.astuple(settings.data), settings.finetune.encoder_blocks
  if own not in _texts:
    encoder = text_encoders.published(settings.data)
    _texts[own] = encoder, next_item.catalogue_text(encoder, dataset, settings.finetune)
  return _texts[own]


# What all parts of a study read, of which one process runs many.
_texts: dict[Any, tuple[TextEncoder, CatalogueText]] = {}


def _cost(
  dataset: Dataset, settings: Config, parameters: int, size: float, answer: Answer
) -> dict[str, float]:
  length, threshold = settings.finetune.history_length, settings.data.positive_rating
  events = dataset.split.test_event[:_ANSWERS]
  asked = full_ranking.queries(dataset, events, length, threshold)
  spent = []
  for row in (0, *range(len(asked))):
    one = asked.take(np.array([row]))
    begin = time.process_time()
    jax.block_until_ready(answer(one))
    spent.append(time.process_time() - begin)
  # The first call compiles.
  cost = {BYTES: size, TIME: 1e3 * statistics.median(spent[1:])}
  # A count of none is no measurement.
  return ({PARAMETERS: float(parameters)} if parameters else {}) | cost


def _exactly(score: Score, num_items: int) -> Answer:
  """Scores of the whole catalogue and the best of them."""

  def answer(asked: Queries) -> jax.Array:
    return _top(score(asked)[0], jnp.asarray(asked.unseen(num_items)[0]))

  return answer


def _by_beam(model: GenerativeModel, catalogue: Catalogue, num_items: int, width: int) -> Answer:
  def answer(asked: Queries) -> Any:
    given = asked.history, asked.rewards, asked.unseen(num_items)
    return _beam_top(model, catalogue, *given, width=width)

  return answer


@jax.jit
def _top(scores: jax.Array, is_open: jax.Array) -> jax.Array:
  return ranking.top_k(scores, is_open, min(_K, len(scores)))[1]


@nnx.jit(static_argnames='width')
def _beam_top(
  model: GenerativeModel,
  catalogue: Catalogue,
  history: ArrayLike,
  rewards: ArrayLike,
  is_open: ArrayLike,
  width: int,
) -> Any:
  return catalogues.recommend(model, catalogue, history, rewards, is_open, _K, width)


@nnx.jit
def _two_tower_top(
  towers: TwoTower, vectors: jax.Array, history: ArrayLike, rewards: ArrayLike, is_open: ArrayLike
) -> jax.Array:
  history, is_open = jnp.asarray(history), jnp.asarray(is_open)
  users = towers.encode_users(vectors, history, jnp.asarray(rewards))
  logits = users @ vectors.T + towers.items.trend[...]
  logits = towers.items.new(logits, towers.items.has_id[...], history, ~is_open)
  return _top(logits[0], is_open[0])
