"""LightGCN: vectors passed on between users and items (He et al. 2020, arXiv:2002.02126)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.experimental import sparse
from jax.typing import ArrayLike

from rec_jax.models.baselines import bpr_mf, descent, ease
from rec_jax.models.baselines.descent import Seen
from rec_jax.models.baselines.events import Events

# Bytes up to which the graph is a dense matrix: a product with it then takes a fraction of the time
# that scattering along its edges does.
_MOST_DENSE = 2**28

Graph = jax.Array | sparse.BCOO


@struct.dataclass
class Vectors:
  """What was learnt.

  Attributes:
    users: [U, D] float32, means over layers.
    items: [N, D] float32, likewise.
    passed: [N, D] float32, what an item adds to a user with an event of it, before the division by
      the root of the number of the user's events.
  """

  users: jax.Array
  items: jax.Array
  passed: jax.Array


class Data(NamedTuple):
  """What the loss reads: the events, the graph, [] the penalty, and [K] a row for each layer."""

  seen: Seen
  graph: Graph
  l2: jax.Array
  layers: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  num_layers: int = 2,
  learning_rate: float = 5e-3,
  l2: float = 1e-4,
  num_epochs: int = 30,
  batch_size: int = 2048,
) -> Vectors:
  """Descends the BPR loss of the passed vectors, equation 15.

  Args:
    key: typed key.
    events: E events.
    dim: D.
    num_layers: K.
    learning_rate: of Adam, positive.
    l2: penalty of squared vectors of layer 0, over 2.
    num_epochs: passes over the events.
    batch_size: events a step.
  """
  begin, steps = jax.random.split(key)
  graph = normalised(events)
  data = Data(descent.seen(events), graph, jnp.float32(l2), jnp.zeros(num_layers))
  state = descent.epochs(
    steps,
    loss,
    bpr_mf.start(begin, events, dim),
    data,
    0,
    num_epochs,
    num_rows=len(events.item),
    batch_size=batch_size,
    learning_rate=learning_rate,
  )
  degree = np.maximum(np.bincount(events.item, minlength=events.num_items), 1)
  users, items, below = jax.jit(propagate, static_argnums=3)(graph, *state.params, num_layers)
  return Vectors(users, items, below / jnp.sqrt(jnp.asarray(degree, jnp.float32))[:, None])


def normalised(events: Events) -> Graph:
  """[U, N], 1 / sqrt(|N_u| |N_i|) at events, dense where that is small."""
  counts = (
    np.bincount(events.user, minlength=events.num_users),
    np.bincount(events.item, minlength=events.num_items),
  )
  value = 1 / np.sqrt(counts[0][events.user] * counts[1][events.item])
  index = np.stack([events.user, events.item], axis=1)
  shape = (events.num_users, events.num_items)
  graph = sparse.BCOO((jnp.asarray(value, jnp.float32), jnp.asarray(index)), shape=shape)
  return graph.todense() if 4 * shape[0] * shape[1] <= _MOST_DENSE else graph


def propagate(
  graph: Graph, users: jax.Array, items: jax.Array, num_layers: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Means over the layers 0..K of equation 3, with weights 1 / (K + 1) as in equation 4.

  Args:
    graph: [U, N] from `normalised`.
    users: [U, D] of layer 0.
    items: [N, D] of layer 0.
    num_layers: K.

  Returns:
    ([U, D], [N, D], [N, D]), the last being the sum over layers 0..K - 1 of items over K + 1.
  """
  all_users, all_items = [users], [items]
  for _ in range(num_layers):
    users, items = graph @ items, graph.T @ users
    all_users.append(users)
    all_items.append(items)
  share = 1 / (num_layers + 1)
  # Without layers there is nothing below.
  below = jnp.stack([jnp.zeros_like(items), *all_items[:-1]]).sum(0)
  return share * jnp.stack(all_users).sum(0), share * jnp.stack(all_items).sum(0), share * below


def loss(
  params: tuple[jax.Array, jax.Array], key: jax.Array, rows: jax.Array, data: Data
) -> jax.Array:
  """Mean over events [B] of the BPR loss of passed vectors, and the penalty of layer 0."""
  users, items, _ = propagate(data.graph, *params, len(data.layers))
  user, item = data.seen.user[rows], data.seen.item[rows]
  other = descent.unseen(key, data.seen, user, len(items))
  penalty = bpr_mf.mean_square(params[0][user], params[1][item], params[1][other])
  return bpr_mf.pairwise(users[user], items[item], items[other]) + data.l2 * penalty


def scores(params: Vectors, histories: ArrayLike) -> jax.Array:
  """Scores of users as if each had joined the graph by its history, without a vector of layer 0.

  Args:
    params: from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  seen = ease.recency_weights(jnp.asarray(histories), 1.0, len(params.items))
  count = jnp.maximum(seen.sum(1, keepdims=True), 1)
  return (seen @ params.passed / jnp.sqrt(count)) @ params.items.T


def user_scores(params: Vectors, users: ArrayLike) -> jax.Array:
  """Scores [B, N] of users [B] who were fitted, by their index."""
  return params.users[jnp.asarray(users)] @ params.items.T
