"""BPR-MF: matrix factorisation that ranks what was chosen above what was not (Rendle et al. 2009).

BPR: Bayesian Personalized Ranking from Implicit Feedback, arXiv:1205.2618.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.baselines import descent, folding
from rec_jax.models.baselines.descent import Seen, State
from rec_jax.models.baselines.events import Events


@struct.dataclass
class Factors:
  """A factorisation.

  Attributes:
    users: [U, D] float32.
    items: [N, D] float32.
    coefficients: [D + 1, D] float32, of the vectors of new users, see `folding`.
  """

  users: jax.Array
  items: jax.Array
  coefficients: jax.Array


class Data(NamedTuple):
  """What the loss reads: the events, and [] the penalty of squared vectors."""

  seen: Seen
  l2: jax.Array


def fit(
  key: jax.Array,
  events: Events,
  *,
  dim: int,
  learning_rate: float = 1e-3,
  l2: float = 0.0,
  num_epochs: int = 60,
  batch_size: int = 2048,
) -> Factors:
  """Climbs ln sigma(x_ui - x_uj) of each event (u, i) and an unseen item j, equation of BPR-Opt.

  Args:
    key: typed key.
    events: E events.
    dim: D.
    learning_rate: of Adam, positive.
    l2: penalty of the squared vectors of an event and its negative, over 2.
    num_epochs: passes over the events.
    batch_size: events a step.
  """
  begin, steps = jax.random.split(key)
  data = Data(descent.seen(events), jnp.float32(l2))
  state = descent.epochs(
    steps,
    loss,
    start(begin, events, dim),
    data,
    0,
    num_epochs,
    num_rows=len(events.item),
    batch_size=batch_size,
    learning_rate=learning_rate,
  )
  users, items = state.params
  return Factors(users, items, folding.regress(users, items, events))


def start(key: jax.Array, events: Events, dim: int) -> State:
  """Vectors before the first step, of the variance 2 / (rows + D) of Glorot & Bengio (2010)."""
  sizes = (events.num_users, events.num_items)
  return descent.start(
    tuple(
      jax.random.normal(each, (size, dim)) * (2 / (size + dim)) ** 0.5
      for each, size in zip(jax.random.split(key), sizes, strict=True)
    )
  )


def loss(
  params: tuple[jax.Array, jax.Array], key: jax.Array, rows: jax.Array, data: Data
) -> jax.Array:
  """Mean over events [B] of -ln sigma(x_ui - x_uj) and the penalty."""
  users, items = params
  user, item = data.seen.user[rows], data.seen.item[rows]
  other = descent.unseen(key, data.seen, user, len(items))
  of_user, of_item, of_other = users[user], items[item], items[other]
  return pairwise(of_user, of_item, of_other) + data.l2 * mean_square(of_user, of_item, of_other)


def pairwise(user: jax.Array, item: jax.Array, other: jax.Array) -> jax.Array:
  """Mean of -ln sigma(u i - u j) over vectors [B, D]."""
  return jax.nn.softplus(-(user * (item - other)).sum(1)).mean()


def mean_square(*vectors: jax.Array) -> jax.Array:
  """Half of the squared length of vectors [B, D], summed over the kinds, mean over the batch."""
  return jnp.stack([(each**2).sum(1).mean() for each in vectors]).sum() / 2


def scores(params: Factors, histories: ArrayLike) -> jax.Array:
  """Scores [B, N] of users whose vectors are predicted from histories [B, L], see `folding`."""
  return folding.fold_in(params.coefficients, params.items, histories) @ params.items.T


def user_scores(params: Factors, users: ArrayLike) -> jax.Array:
  """Scores [B, N] of users [B] who were fitted, by their index."""
  return params.users[jnp.asarray(users)] @ params.items.T
