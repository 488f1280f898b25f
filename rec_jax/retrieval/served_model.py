"""What a teacher or a student is at serving time: item vectors with spare rows, and a user tower.

Item vectors are computed once. Rows beyond the catalogue are spare: items that come later are
written there, so that no shape changes and nothing is compiled again.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.linear_path import Buffer, LinearPath
from rec_jax.models.new_items import NewItems
from rec_jax.models.student import Student
from rec_jax.models.user_towers import UserTower, after_whole
from rec_jax.retrieval import placement
from rec_jax.retrieval.padding import Asked
from rec_jax.tasks.two_tower_model import TwoTowerModel
from rec_jax.types import InputError

Model = Student | TwoTowerModel


class ServedModel(nnx.Module):
  """A model whose item vectors are known; C rows, of which the first N are the catalogue.

  Attributes:
    users: the user tower.
    linear: the linear path, with what an event of each row adds.
    trend: [C], what is added to the logits.
    new: the prior of items without an id.
    vectors: [C, D + R].
    has_id: [C] bool.
    dim: D.
  """

  def __init__(
    self,
    users: UserTower,
    linear: LinearPath,
    trend: jax.Array,
    new: NewItems,
    vectors: jax.Array,
    has_id: jax.Array,
  ):
    self.users, self.linear, self.new, self.trend = users, linear, new, Buffer(trend)
    self.vectors, self.has_id = Buffer(vectors), Buffer(has_id)
    self.dim = vectors.shape[1] - linear.given.shape[1]

  def encode_users(
    self,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array | None = None,
    context: jax.Array | None = None,
  ) -> jax.Array:
    """[B, D + R], user vectors after histories [B, L]; see `TwoTower.encode_users`."""
    # The tower gathers from a table of the rows that occur: a part of all of them would be a copy.
    table = self.vectors[...][jnp.maximum(history - 1, 0)][..., : self.dim]
    place = jnp.arange(1, history.size + 1).reshape(history.shape)
    local = jnp.where(history > 0, place, 0)
    learnt = after_whole(self.users, table.reshape(-1, self.dim), local, rewards, times, context)
    return jnp.concatenate([learnt, self.linear.users(history)], axis=1)

  def score(self, asked: Asked, met: jax.Array) -> jax.Array:
    """[B, C] logits, as `score` of the task that trained the model gives them.

    Args:
      asked: of B users.
      met: [B, C] bool, rows that are no candidates.
    """
    users, vectors = self.encode_users(*map(jnp.asarray, asked)), self.vectors[...]
    # For one user alone XLA reads the rows of the second operand in half of the time.
    logits = (vectors @ users[0])[None] if len(users) == 1 else users @ vectors.T
    logits, history = logits + self.trend[...], jnp.asarray(asked.history)
    return self.new(logits, self.has_id[...], history, met)


def serve(model: Model, number: int, capacity: int) -> ServedModel:
  """The same model with C = `capacity` rows.

  Args:
    model: in evaluation mode.
    number: N, of its items.
    capacity: at least N.

  Raises:
    InputError: the model has another number of items.
  """
  users: UserTower
  if isinstance(model, Student):
    users, linear, new, has_id = model.users, model.linear, model.new, model.has_id[...]
    trend = model.trend[...]
    vectors = _student_vectors(model)
  else:
    towers = model.towers
    users, linear, new = towers.users, towers.items.linear, towers.items.new
    vectors, has_id = _tower_vectors(model), towers.items.has_id[...]
    trend = towers.items.trend[...]
  if len(vectors) != number:
    raise InputError(
      f'the model knows {len(vectors)} items and the catalogue has {number}: give those of one run'
    )
  return grow(ServedModel(users, linear, trend, new, vectors, has_id), capacity)


def grow(model: ServedModel, capacity: int) -> ServedModel:
  """The model with C = `capacity` rows; those that come are zeros without an id."""
  missing = capacity - len(model.has_id[...])

  def padded(array: jax.Array) -> jax.Array:
    return jnp.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))

  linear, new = LinearPath(0, 0), NewItems(0)
  linear.given = Buffer(padded(model.linear.given[...]))
  # Of the path as a candidate, the vectors hold all that is needed.
  linear.decay[...] = model.linear.decay[...]
  new.bias = Buffer(padded(model.new.bias[...]))
  new.place[...] = model.new.place[...]
  vectors, has_id = padded(model.vectors[...]), padded(model.has_id[...])
  served = ServedModel(model.users, linear, padded(model.trend[...]), new, vectors, has_id)
  return nnx.view(served, deterministic=True)


def write(model: ServedModel, rows: np.ndarray, vectors: np.ndarray, bias: np.ndarray) -> None:
  """Puts items without an id into rows [n], with vectors [n, D + R] and a prior [n], in place."""
  model.vectors = Buffer(_put(model.vectors[...], rows, vectors))
  model.new.bias = Buffer(_put(model.new.bias[...], rows, bias))


@functools.partial(jax.jit, static_argnames='k')
def rank(
  model: ServedModel,
  asked: Asked,
  excluded: ArrayLike,
  allowed: ArrayLike,
  k: int,
) -> tuple[jax.Array, jax.Array]:
  """The best candidates of each user.

  Args:
    model: of C rows.
    asked: of B users.
    excluded: [B, M] int32, rows that this user is not shown; C for padding.
    allowed: [C] bool, rows that anybody may be shown.
    k: at most C.

  Returns:
    [B, k] logits, -inf where nothing is left, and [B, k] rows.
  """
  candidates = _candidates(excluded, allowed)
  logits = model.score(asked, ~candidates)
  return jax.lax.top_k(jnp.where(candidates, logits, -jnp.inf), k)


@jax.jit
def scores_of(
  model: ServedModel,
  asked: Asked,
  excluded: ArrayLike,
  allowed: ArrayLike,
  rows: ArrayLike,
) -> jax.Array:
  """[B, n] logits of rows [B, n]; other arguments as in `rank`."""
  candidates = _candidates(excluded, allowed)
  logits = model.score(asked, ~candidates)
  return jnp.take_along_axis(logits, jnp.asarray(rows), axis=1)


@functools.partial(jax.jit, static_argnames='k')
def neighbours(
  model: ServedModel, rows: ArrayLike, allowed: ArrayLike, k: int
) -> tuple[jax.Array, jax.Array]:
  """[B, k] cosines, -inf where nothing is left, and rows of the items most like rows [B]."""
  vectors, rows = model.vectors[...], jnp.asarray(rows)
  lengths = jnp.sqrt(jnp.sum(vectors**2, axis=1))
  cosine = vectors[rows] @ vectors.T / jnp.maximum(lengths[rows][:, None] * lengths, 1e-12)
  candidates = jnp.asarray(allowed) & (jnp.arange(len(vectors)) != rows[:, None])
  return jax.lax.top_k(jnp.where(candidates, cosine, -jnp.inf), k)


@jax.jit
def user_vectors(model: ServedModel, asked: Asked) -> jax.Array:
  """[B, D + R]."""
  return model.encode_users(*map(jnp.asarray, asked))


@jax.jit
def contributions(model: ServedModel, asked: Asked, rows: ArrayLike) -> dict[str, jax.Array]:
  """What the events of one history add to the logits of rows [n].

  Args:
    model: of C rows.
    asked: of one user.
    rows: [n].

  Returns:
    'linear' [L, n], what each event adds on the linear path, whose sum is all of that path;
    'learnt' [L, n], how much lower the learnt part would be without the event (of a Transformer
    no such parts add up); 'cosine' [L, n], how alike event and item are.
  """
  history, rewards, times = (jnp.asarray(each)[0] for each in asked[:3])
  rows = jnp.asarray(rows)
  length = len(history)
  sought = model.vectors[...][rows]
  weights = ease.recency(history[None], model.linear.decay[...])[0]
  given = model.linear.given[...][jnp.maximum(history - 1, 0)]
  linear = weights[:, None] * (given @ sought[:, model.dim :].T)
  # Row i is without event i, the last one without none.
  kept = jnp.arange(length) + (jnp.arange(length) >= jnp.arange(length + 1)[:, None])
  without, liked, when = (jnp.pad(each, (0, 1))[kept] for each in (history, rewards, times))
  context = jnp.repeat(jnp.asarray(asked.context), length + 1, axis=0)
  users = model.encode_users(without, liked, when, context)
  learnt = users[:, : model.dim] @ sought[:, : model.dim].T
  events = model.vectors[...][jnp.maximum(history - 1, 0)]
  lengths = jnp.linalg.norm(events, axis=1)[:, None] * jnp.linalg.norm(sought, axis=1)
  return {
    'linear': linear,
    'learnt': learnt[-1] - learnt[:-1],
    'cosine': events @ sought.T / jnp.maximum(lengths, 1e-12),
  }


def _candidates(excluded: ArrayLike, allowed: ArrayLike) -> jax.Array:
  """[B, C] bool."""
  excluded = jnp.asarray(excluded)
  everybody = jnp.broadcast_to(jnp.asarray(allowed), (len(excluded), jnp.shape(allowed)[0]))
  return everybody.at[jnp.arange(len(excluded))[:, None], excluded].set(False, mode='drop')


# In place: a copy of the vectors of a large catalogue takes as long as a request.
@functools.partial(jax.jit, donate_argnums=0)
def _put(table: jax.Array, rows: ArrayLike, values: ArrayLike) -> jax.Array:
  return table.at[jnp.asarray(rows)].set(jnp.asarray(values), mode='drop')


def _student_vectors(model: Student) -> jax.Array:
  """`Student.item_vectors`, but that no text of an item with an id is encoded."""
  known = [np.asarray(each) for each in (model.id.embedding[...], model.linear.sought[...])]
  vectors = np.concatenate(known, axis=1)
  rows = np.flatnonzero(~np.asarray(model.has_id[...]))
  if len(rows):
    read = model.input_ids, model.mask, model.features
    texts = (np.asarray(each[...])[rows] for each in read)
    vectors[rows] = placement.by_student(model, *texts)
  return jnp.asarray(vectors)


@nnx.jit
def _tower_vectors(model: TwoTowerModel) -> jax.Array:
  return model.towers.items.vectors()
