"""The trend that a two-tower model is given once it has been trained: what is chosen of late.

How fast events age for it and how much it counts are chosen on the validation events, which come
after the events that it counts where a split is by time. Where a split is not, trends of the end of
training tell nothing of what is to be predicted, and none is taken.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import ranking
from rec_jax.evaluation.ranking import Places
from rec_jax.models import trend
from rec_jax.models.baselines import recent_popularity
from rec_jax.tasks import choice, full_ranking, two_tower_model
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.two_tower_model import TwoTowerModel

# Half-lives, as shares of the time that training events span; what logits hold of how popular items
# always are; and factors on the trend. After a pause a taste that was read from one evening is much
# too sure of itself, so that these go far beyond 1.
HALF_LIVES = tuple(2.0**-power for power in range(1, 9))
HELD = (0.5, 1.0)
WEIGHTS = (0.0, *(float(2**power) for power in range(-1, 6)))
_CUTOFF, _CHUNK, _DAY = 10, 64, 86_400
_ERRORS = 2.0


class Trend(NamedTuple):
  """What was chosen, and what it brought.

  Attributes:
    settings: half-life in days, share held and weight, 0 without a trend.
    ndcg: [Q] NDCG@10 of the model with it, among items with an id.
    popular: [Q] of what is popular, at the half-life that is best for it, or over all times.
  """

  settings: dict[str, float]
  ndcg: np.ndarray
  popular: np.ndarray


def recent_counts(dataset: Dataset) -> list[tuple[float, np.ndarray]]:
  """Half-lives in days, and the training events [N] counted with each of them, float32."""
  item, time = _training_events(dataset)
  num_items = dataset.items.num_items
  return [
    (each / _DAY, recent_popularity.counts(item, time, num_items, each).astype(np.float32))
    for each in _half_lives(time)
  ]


def add(model: TwoTowerModel, dataset: Dataset, asked: Queries) -> Trend:
  """Gives the model the trend with which NDCG@10 among items with an id is best.

  There is none unless trends that are the best for four fifths of the queries add more than two
  standard errors to the others.

  Args:
    model: in evaluation mode; changed in place.
    dataset: whose training events tell the trend.
    asked: Q queries before the cut, those that validate.
  """
  item, time = _training_events(dataset)
  num_items, half_lives = dataset.items.num_items, _half_lives(time)
  asked = asked.spread(num_items)
  kinds = [(half_life, held) for half_life in half_lives for held in HELD]
  trends = np.stack([trend.log_trend(item, time, num_items, *kind) for kind in kinds])
  always = np.bincount(item, minlength=num_items).astype(np.float32)
  counts = np.stack([always, *(recent for _, recent in recent_counts(dataset))])
  known, parts = np.asarray(model.towers.items.has_id[...]), []
  answer, size = two_tower_model.answers(model), full_ranking.at_once(num_items, _CHUNK)
  for start in range(0, len(asked), size):
    # Padded by the last query, so that nothing is compiled twice.
    part = asked.take(np.minimum(np.arange(start, start + size), len(asked) - 1))
    logits, open_ = answer(part), part.unseen(num_items) & known
    where = _places(logits, open_, part.target[:, None], trends, counts)
    found = [ranking.one_metric(each, 'ndcg', _CUTOFF) for each in where]
    parts.append([each[..., : len(asked) - start] for each in found])
  ndcg, popular = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
  kind, weight = divmod(int(np.argmax(ndcg.mean(-1))), len(WEIGHTS))
  if not choice.helps(ndcg.reshape(-1, len(asked)), _ERRORS):
    kind, weight = 0, 0
  model.towers.items.trend[...] = jnp.asarray(WEIGHTS[weight] * trends[kind])
  half_life, held = kinds[kind]
  settings = {'half-life in days': half_life / _DAY, 'held': held, 'weight': WEIGHTS[weight]}
  return Trend(settings, ndcg[kind, weight], popular[np.argmax(popular.mean(-1))])


def _training_events(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
  """Items and times [E]."""
  chosen = splits.training_events(dataset.interactions, dataset.split)
  return dataset.interactions.item[chosen], dataset.interactions.timestamp[chosen]


def _half_lives(time: np.ndarray) -> list[float]:
  """In seconds, by the times of the training events."""
  return [share * max(1.0, float(np.ptp(time))) for share in HALF_LIVES]


@jax.jit
def _places(
  logits: jax.Array, open_: ArrayLike, target: ArrayLike, trends: ArrayLike, counts: ArrayLike
) -> tuple[Places, Places]:
  """Where the targets stand by each trend and by each of the counts alone.

  Args:
    logits: [B, N] without a trend.
    open_: [B, N] bool, which items compete.
    target: [B, 1].
    trends: [kinds, N].
    counts: [C, N].

  Returns:
    [kinds, weights, B, 1] and [C, B, 1].
  """
  places = jax.vmap(ranking.places)

  def of_trend(trend: jax.Array) -> Places:
    return jax.lax.map(
      lambda weight: places(logits + weight * trend, open_, target), jnp.array(WEIGHTS)
    )

  def of_counts(count: jax.Array) -> Places:
    return places(jnp.broadcast_to(count, logits.shape), open_, target)

  return jax.lax.map(of_trend, jnp.asarray(trends)), jax.lax.map(of_counts, jnp.asarray(counts))
