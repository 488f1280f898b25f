"""A generative model learns the next item's semantic id: the mean of -log P(item | history).

The probabilities are over the items with a training event, as those of the two-tower model's
softmax: no step lowers those of items that nobody can have met.
"""

import functools
from collections.abc import Hashable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data.dataset import Dataset
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.generative import catalogue as catalogues
from rec_jax.models.generative import prefix_tree, semantic_ids
from rec_jax.models.generative.catalogue import Catalogue
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.generative.prefix_tree import PrefixTree
from rec_jax.models.generative.semantic_ids import SemanticIds
from rec_jax.tasks import events
from rec_jax.tasks.config import FinetuneConfig, GenerativeConfig
from rec_jax.tasks.full_ranking import Queries, Score
from rec_jax.training import optimizers
from rec_jax.training.task import Metrics, Schedule, Task

# How often each training event is predicted, unless the config says how many steps are done.
_PASSES = 15.0


def make_ids(dataset: Dataset, text_vectors: np.ndarray, seed: int) -> SemanticIds:
  """Ids of the catalogue by text vectors [N, H]; new items tell the codebooks nothing."""
  return semantic_ids.make(jax.random.key(seed), text_vectors, dataset.split.trained_items)


def new_share(dataset: Dataset) -> float:
  """ε, how often a validation event is of an item without a training event.

  Half an event is added to either side (Krichevsky & Trofimov 1981): where none was seen the next
  one may be.
  """
  target = dataset.interactions.item[dataset.split.validation_event]
  number = int((~dataset.split.trained_items[target]).sum())
  return (number + 0.5) / (len(target) + 1)


def catalogue(dataset: Dataset, ids: SemanticIds, config: GenerativeConfig) -> Catalogue:
  """The trees of known and of new items, with the share that the config gives the new ones."""
  share = config.new_share or new_share(dataset)
  return catalogues.make(ids, dataset.split.trained_items, share)


def score(model: GenerativeModel, catalogue: Catalogue) -> Score:
  """Queries to the exact log-probabilities [Q, N] of the whole catalogue."""
  return lambda asked: _scores(model, catalogue, asked.history, asked.rewards, asked.times)


def beam_score(
  model: GenerativeModel, catalogue: Catalogue, num_items: int, k: int, width: int
) -> Score:
  """The same of the k items that a beam search finds among those open to the user, -inf else."""

  def scores(asked: Queries) -> jax.Array:
    is_open = asked.unseen(num_items)
    given = asked.history, asked.rewards, is_open, asked.times
    return _beam_scores(model, catalogue, *given, k=k, width=width)

  return scores


def task(
  ids: SemanticIds,
  dataset: Dataset,
  config: FinetuneConfig,
  own: GenerativeConfig,
  positive_rating: float,
  seed: int,
) -> Task:
  """The task of one model.

  Args:
    ids: of the catalogue.
    dataset: whose training events are learnt.
    config: of what reads histories, of the batches and of the training, as for two towers.
    own: of the rest.
    positive_rating: from here on an event counts as liked.
    seed: of the weights and the batches.
  """
  model = GenerativeModel(_sizes(config, dataset), ids, own.num_layers, rngs=nnx.Rngs(seed))
  known = dataset.split.trained_items
  # What is asked before the cut is judged among known items alone, whatever share others have.
  among_known = catalogues.make(ids, known, 0.0)
  asked = events.validation_queries(dataset, config, positive_rating, seed)
  num_steps = config.num_steps or events.num_steps(dataset, config, _PASSES)

  def validate(model: GenerativeModel) -> Mapping[str, float]:
    answer = score(nnx.view(model, deterministic=True), among_known)
    return events.ranking_metrics(answer, asked, dataset.items.num_items)

  return Task(
    name=f'generative {seed}',
    model=model,
    trainable=nnx.Param,
    losses=functools.partial(_losses, num_predictions=config.num_predictions),
    batches=events.training_batches(dataset, config, positive_rating, config.batch_size, seed),
    optimizer=optimizers.make(
      config.learning_rate,
      num_steps,
      weight_decay=config.weight_decay,
      optimizer=config.optimizer,
      schedule=config.schedule,
    ),
    schedule=Schedule(num_steps, config.validate_every, config.patience),
    validate=validate,
    ema_decay=config.ema_decay,
    data=prefix_tree.build(ids, known),
  )


def _sizes(config: FinetuneConfig, dataset: Dataset) -> TwoTowerConfig:
  """Of the user tower."""
  return TwoTowerConfig(
    num_items=dataset.items.num_items,
    text_dim=0,
    dim=config.dim,
    user_tower=config.user_tower,
    num_layers=config.num_layers,
    num_heads=config.num_heads,
    history_length=config.history_length,
    dropout_rate=config.dropout_rate,
  )


@nnx.jit
def _scores(
  model: GenerativeModel,
  catalogue: Catalogue,
  history: ArrayLike,
  rewards: ArrayLike,
  times: ArrayLike,
) -> jax.Array:
  return catalogues.scores(model, catalogue, history, rewards, times)


@nnx.jit(static_argnames=('k', 'width'))
def _beam_scores(
  model: GenerativeModel,
  catalogue: Catalogue,
  history: ArrayLike,
  rewards: ArrayLike,
  is_open: ArrayLike,
  times: ArrayLike,
  k: int,
  width: int,
) -> jax.Array:
  found = catalogues.recommend(model, catalogue, history, rewards, is_open, k, width, times)
  shape = jnp.shape(is_open)
  column = jnp.where(found.items >= 0, found.items, shape[1])
  scores = jnp.full(shape, -jnp.inf)
  return scores.at[jnp.arange(len(column))[:, None], column].set(found.log_probs, mode='drop')


def _losses(
  model: GenerativeModel,
  key: jax.Array,
  batch: Mapping[str, jax.Array],
  tree: PrefixTree,
  phase: Hashable,
  *,
  num_predictions: int,
) -> tuple[jax.Array, jax.Array, Metrics]:
  """Of the next item [P], over a random part of the events of a batch."""
  del phase
  dropout, pick = jax.random.split(key)
  rngs, items = nnx.Rngs(dropout=dropout), batch['items']
  positions = events.choose_positions(pick, items, num_predictions)
  # Position t has seen t events and predicts event t, the last one included.
  history, rewards, times = (batch[name][:, :-1] for name in ('history', 'rewards', 'times'))
  users = model.users_after_prefixes(history, rewards, times, rngs)
  sought = items.reshape(-1)[positions]
  # Padding is given an item of the tree, at no weight.
  target = jnp.where(sought > 0, sought - 1, tree.items[0])
  log_prob = model.log_prob(tree, events.rows_of(users, positions), target, rngs)
  return -log_prob, (sought > 0).astype(jnp.float32), {}
