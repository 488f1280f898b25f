"""Which events of a batch a user tower predicts, and the user vectors that predict them.

A causal tower predicts each event from those before it. A bidirectional one predicts events that
are hidden from it from the others on both sides (Sun et al. 2019, sections 3.6 and 3.7): a share of
them at random, and in half of the rows the last one alone, which is what a recommendation is.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.user_towers.base import UserTower
from rec_jax.models.user_towers.bert4rec import BERT4Rec
from rec_jax.tasks import events
from rec_jax.tasks.config import FinetuneConfig


class Predicted(NamedTuple):
  """P events that a step predicts.

  Attributes:
    target: [P] int32, item index + 1, 0 where there is no event.
    users: (item vectors [N, D], rngs) -> the user vectors [P, D] that are to find it.
  """

  target: jax.Array
  users: Callable[[jax.Array, nnx.Rngs], jax.Array]


def choose(
  key: jax.Array, tower: UserTower, batch: Mapping[str, jax.Array], config: FinetuneConfig
) -> Predicted:
  """Draws the events of a batch.

  Args:
    key: typed key.
    tower: in training mode.
    batch: of `pipeline.history_batches`.
    config: how many, and the share that is hidden.
  """
  items, hidden = batch['items'], None
  if isinstance(tower, BERT4Rec):
    key, hide = jax.random.split(key)
    hidden = hide_events(hide, items, config.mask_rate)
  asked = items if hidden is None else jnp.where(hidden, items, 0)
  positions = events.choose_positions(key, asked, config.num_predictions)

  def users(item_vectors: jax.Array, rngs: nnx.Rngs) -> jax.Array:
    read = batch['history'], batch['rewards'], batch['times']
    if isinstance(tower, BERT4Rec) and hidden is not None:
      vectors = tower.at_hidden(item_vectors, *read[:2], hidden, rngs)
    else:
      # Position t has seen t events and predicts event t, the last one included.
      history, rewards, times = (each[:, :-1] for each in read)
      vectors = tower(item_vectors, history, rewards, times, rngs)
    return events.rows_of(vectors, positions)

  return Predicted(asked.reshape(-1)[positions], users)


def hide_events(key: jax.Array, items: jax.Array, rate: float) -> jax.Array:
  """[B, L] bool, events of rows [B, L] that are hidden; of a row with an event at least one.

  Args:
    key: typed key.
    items: item index + 1, 0 for padding at the end.
    rate: share of the events of a row, rounded up, where not the last one alone is hidden.
  """
  at_random, coin = jax.random.split(key)
  is_event = items > 0
  length = is_event.sum(1, keepdims=True)
  order = jnp.where(is_event, jax.random.uniform(at_random, items.shape), 2.0)
  rank = jnp.argsort(jnp.argsort(order, axis=1), axis=1)
  some = (rank < jnp.ceil(rate * length)) & is_event
  last = jnp.arange(items.shape[1]) == length - 1
  return jnp.where(jax.random.bernoulli(coin, shape=(len(items), 1)), last, some)
