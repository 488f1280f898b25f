"""SVD with biases: mu + b_u + b_i + p_u q_i (Koren, Bell & Volinsky 2009, equations 4 and 5).

Matrix Factorization Techniques for Recommender Systems. Written for ratings; here events are
values of 1 and items drawn for them values of 0, since a history holds no ratings.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import descent, folding
from rec_jax.models.baselines.descent import Seen
from rec_jax.models.baselines.events import Events


@struct.dataclass
class Factors:
  """A fitted model.

  Attributes:
    mean: [] float32.
    user_bias: [U] float32.
    item_bias: [N] float32.
    users: [U, D] float32.
    items: [N, D] float32.
    coefficients: [D + 1, D] float32, of the vectors of new users, see `folding`.
  """

  mean: jax.Array
  user_bias: jax.Array
  item_bias: jax.Array
  users: jax.Array
  items: jax.Array
  coefficients: jax.Array


class Data(NamedTuple):
  """What the loss reads: the events, [] the penalty, and [K] a row for each item drawn."""

  seen: Seen
  l2: jax.Array
  negatives: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  learning_rate: float = 3e-3,
  l2: float = 0.02,
  num_negatives: int = 4,
  num_epochs: int = 30,
  batch_size: int = 2048,
) -> Factors:
  """Descends the squared error of equation 5 by Adam.

  Args:
    key: typed key.
    events: E events.
    dim: D.
    learning_rate: of Adam, positive.
    l2: penalty of squared vectors and biases.
    num_negatives: K, unseen items of value 0 for each event.
    num_epochs: passes over the events.
    batch_size: events a step.
  """
  of_users, of_items, steps = jax.random.split(key, 3)
  scale = 0.1 / dim**0.5
  params = {
    'mean': jnp.float32(1 / (1 + num_negatives)),
    'user_bias': jnp.zeros(events.num_users),
    'item_bias': jnp.zeros(events.num_items),
    'users': scale * jax.random.normal(of_users, (events.num_users, dim)),
    'items': scale * jax.random.normal(of_items, (events.num_items, dim)),
  }
  state = descent.epochs(
    steps,
    loss,
    descent.start(params),
    Data(descent.seen(events), jnp.float32(l2), jnp.zeros(num_negatives)),
    0,
    num_epochs,
    num_rows=len(events.item),
    batch_size=batch_size,
    learning_rate=learning_rate,
  )
  found = state.params
  return Factors(**found, coefficients=folding.regress(found['users'], found['items'], events))


def loss(params: dict[str, jax.Array], key: jax.Array, rows: jax.Array, data: Data) -> jax.Array:
  """Squared error of events [B] and of the items drawn for them, and the penalty, means."""
  user, item = data.seen.user[rows], data.seen.item[rows]
  num_items = len(params['items'])
  asking = jnp.broadcast_to(user, (len(data.negatives), len(user)))
  others = descent.unseen(key, data.seen, asking, num_items)
  every = jnp.concatenate([item[None], others])
  target = jnp.zeros(every.shape).at[0].set(1)
  of_user, of_item = params['users'][user], params['items'][every]
  bias = params['user_bias'][user], params['item_bias'][every]
  predicted = params['mean'] + bias[0] + bias[1] + jnp.einsum('bd,kbd->kb', of_user, of_item)
  penalty = (of_user**2).sum(-1) + (of_item**2).sum(-1) + bias[0] ** 2 + bias[1] ** 2
  return ((target - predicted) ** 2 + data.l2 * penalty).mean()


def scores(params: Factors, histories: ArrayLike) -> jax.Array:
  """Scores [B, N] from histories [B, L]; a user's bias, which orders nothing, is left out.

  The vectors of users, known or not, are predicted from the history, see `folding`.
  """
  users = folding.fold_in(params.coefficients, params.items, histories)
  return params.mean + params.item_bias + users @ params.items.T


def user_scores(params: Factors, users: ArrayLike) -> jax.Array:
  """Scores [B, N] of users [B] who were fitted, by their index."""
  users = jnp.asarray(users)
  bias = params.mean + params.user_bias[users, None] + params.item_bias
  return bias + params.users[users] @ params.items.T
