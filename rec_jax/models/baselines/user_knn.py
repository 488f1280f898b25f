"""User-kNN: what users like this one chose (Resnick et al. 1994; Herlocker et al. 1999)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events


@struct.dataclass
class Users:
  """The events of the users to compare with.

  Attributes:
    user: [E] int32, ascending.
    item: [E] int32.
    norm: [U] float32, root of the number of events of each.
    popularity: [N] float32, events of each item; its length is that of the catalogue.
    shrink: [] float32.
    k: users that are asked.
  """

  user: jax.Array
  item: jax.Array
  norm: jax.Array
  popularity: jax.Array
  shrink: jax.Array
  k: int = struct.field(pytree_node=False)


def fit(events: Events, *, k: int, shrink: float = 0.0) -> Users:
  """Keeps the events; neighbours are found when a history is there.

  Args:
    events: to compare with.
    k: users that are asked.
    shrink: items that a similarity has to have in common to count, 0 or more.

  Raises:
    ValueError: if `k` is no count or `shrink` is negative.
  """
  if k < 1 or not shrink >= 0:
    raise ValueError(f'k={k} and shrink={shrink} must be 1 or more and 0 or more')
  order = np.argsort(events.user, kind='stable')
  count = np.bincount(events.user, minlength=events.num_users)
  return Users(
    user=jnp.asarray(events.user[order], jnp.int32),
    item=jnp.asarray(events.item[order], jnp.int32),
    norm=jnp.sqrt(jnp.asarray(count, jnp.float32)),
    popularity=jnp.asarray(np.bincount(events.item, minlength=events.num_items), jnp.float32),
    k=min(k, events.num_users),
    shrink=jnp.float32(shrink),
  )


def scores(params: Users, histories: ArrayLike) -> jax.Array:
  """Sum of the similarities of the k nearest users with an event of the item.

  Similarity is the shrunk cosine of two rows of the event matrix, as of columns in `item_knn`. A
  user who was fitted is its own neighbour, which adds to nothing but the items of its history.

  Args:
    params: from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  num_users, num_items = len(params.norm), len(params.popularity)

  def of_one(history: jax.Array) -> jax.Array:
    seen = ease.recency_weights(history[None], 1.0, num_items)[0]
    common = jnp.zeros(num_users).at[params.user].add(seen[params.item], indices_are_sorted=True)
    norm = jnp.sqrt(seen.sum())
    cosine = common / jnp.maximum(norm * params.norm + params.shrink, 1e-9)
    value, nearest = jax.lax.top_k(cosine, params.k)
    weight = jnp.zeros(num_users).at[nearest].set(value)
    return jnp.zeros(num_items).at[params.item].add(weight[params.user])

  # One history after another: together they would take E numbers each.
  return jax.lax.map(of_one, jnp.asarray(histories))
