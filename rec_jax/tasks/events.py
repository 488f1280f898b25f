"""What tasks on histories share: batches, which events are predicted, and validation by ranking."""

import logging

import grain
import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.data.pipeline import Augmentation, history_batches
from rec_jax.data.splits import histories
from rec_jax.models import new_items
from rec_jax.models.two_tower import ItemTower
from rec_jax.tasks import full_ranking
from rec_jax.tasks.config import FEWEST_STEPS, MOST_STEPS, DistilConfig, FinetuneConfig
from rec_jax.tasks.negatives import Catalogue

logger = logging.getLogger(__name__)


def training_batches(
  dataset: Dataset, config: FinetuneConfig, positive_rating: float, batch_size: int, seed: int
) -> grain.IterDataset:
  """Augmented training histories, of one event more than a user tower sees."""
  return history_batches(
    histories(dataset.interactions, splits.training_events(dataset.interactions, dataset.split)),
    dataset.interactions.timestamp,
    dataset.interactions.reward(positive_rating),
    config.history_length + 1,
    batch_size,
    seed,
    Augmentation(
      max_drop_rate=config.max_drop_rate,
      recent_window_rate=config.recent_window_rate,
      max_crop_rate=config.max_crop_rate,
      max_mask_rate=config.max_mask_rate,
      max_reorder_rate=config.max_reorder_rate,
    ),
    dataset.encoded.context,
  )


def num_steps(
  dataset: Dataset, histories: FinetuneConfig, passes: float, own: DistilConfig | None = None
) -> int:
  """Steps in which each training event is predicted `passes` times, within bounds.

  A step predicts `num_predictions` events, or all of its histories where these are short.

  Args:
    dataset: with the events to train on.
    histories: how they are cut and varied.
    passes: how often each event is predicted.
    own: what says how large a step is, if not `histories`.
  """
  step = own or histories
  length = _training_lengths(dataset)
  length = length[length > 0]
  # Shares that are left out are uniform up to their maximum, and of a crop whole events.
  kept = np.maximum(length * (1 - histories.max_drop_rate / 2), 1)
  window = np.minimum(kept, histories.history_length + 1)
  window -= np.maximum(window * histories.max_crop_rate - 1, 0) / 2
  predicted = min(step.num_predictions, step.batch_size * window.mean())
  wanted = passes * length.sum() / predicted
  if wanted > MOST_STEPS:
    logger.warning(
      'training ends after %d steps, in which each event is predicted %.2g times rather than %g; '
      'a larger batch_size, or more num_steps, predicts them more often',
      *(MOST_STEPS, passes * MOST_STEPS / wanted, passes),
    )
  return int(np.clip(wanted, FEWEST_STEPS, MOST_STEPS))


def _training_lengths(dataset: Dataset) -> np.ndarray:
  """[U], training events of each user."""
  chosen = splits.training_events(dataset.interactions, dataset.split)
  return np.bincount(dataset.interactions.user[chosen], minlength=dataset.interactions.num_users)


def fill(items: ItemTower, dataset: Dataset, text: np.ndarray) -> None:
  """Gives an item tower what a data set says of its items, and their text vectors [N, H]."""
  known, popularity = jnp.asarray(dataset.split.trained_items), log_popularity(dataset)
  features = jnp.asarray(dataset.encoded.items) if items.features.shape[1] else None
  items.fill(jnp.asarray(text, jnp.float32), known, popularity, features)


def log_popularity(dataset: Dataset) -> jax.Array:
  """[N], `new_items.log_popularity` of the training events."""
  chosen = splits.training_events(dataset.interactions, dataset.split)
  item, time = dataset.interactions.item[chosen], dataset.interactions.timestamp[chosen]
  return jnp.asarray(new_items.log_popularity(item, time, dataset.items.num_items))


def catalogue(dataset: Dataset, config: FinetuneConfig) -> Catalogue:
  """What negatives are drawn by.

  A step sees of each history a window of at most L + 1 events, so that an event of a longer one is
  predicted as much less often; where in a history windows lie is taken for uniform.
  """
  chosen = splits.training_events(dataset.interactions, dataset.split)
  user, item = dataset.interactions.user[chosen], dataset.interactions.item[chosen]
  length = np.maximum(_training_lengths(dataset), 1)
  weight = np.minimum(length, config.history_length + 1) / length
  seen = np.bincount(item, weight[user], minlength=dataset.items.num_items)
  return Catalogue(
    known=jnp.asarray(dataset.split.trained_items),
    counts=jnp.asarray(np.bincount(item, minlength=dataset.items.num_items), jnp.int32),
    frequency=jnp.asarray(seen / seen.sum(), jnp.float32),
  )


def choose_positions(key: jax.Array, items: jax.Array, count: int) -> jax.Array:
  """Flat positions [count] of events in a batch [B, L + 1], at random, padding only if need be."""
  order = jax.random.uniform(key, (items.size,)) + (items.reshape(-1) > 0)
  return jax.lax.top_k(order, min(count, items.size))[1]


def rows_of(vectors: jax.Array, positions: jax.Array) -> jax.Array:
  """Rows [P, D] of vectors [B, L + 1, D] at flat positions [P]."""
  rows, length, width = vectors.shape
  return vectors.reshape(rows * length, width)[positions]


def validation_queries(
  dataset: Dataset, config: FinetuneConfig, positive_rating: float, seed: int
) -> full_ranking.Queries:
  """The validation events of the ranked users, or of a sample where they are many."""
  events = dataset.split.validation_event
  if len(events) > config.num_validation_users:
    rng = np.random.default_rng(seed)
    events = np.sort(rng.choice(events, config.num_validation_users, replace=False))
  return full_ranking.queries(dataset, events, config.history_length, positive_rating)


def ranking_metrics(
  score: full_ranking.Score, asked: full_ranking.Queries, num_items: int
) -> dict[str, float]:
  """Mean NDCG@10 and recall@10 of queries over the whole catalogue.

  Args:
    score: the model.
    asked: Q queries.
    num_items: N.
  """
  ranked = full_ranking.rank_targets(score, asked, np.ones(num_items, bool))
  return {name: float(ranked[name].mean()) for name in ('ndcg@10', 'recall@10')}
