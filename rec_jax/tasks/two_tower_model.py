"""A two-tower model beside the encoder that made its text vectors, and what it answers."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.data.feature_encoding import Widths
from rec_jax.models.linear_path import Buffer
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.models.two_tower import TwoTower
from rec_jax.tasks.full_ranking import Queries, Score


class TwoTowerModel(nnx.Module):
  """A two-tower model and, where it reads text, the encoder that made its text vectors.

  Training that compares with the items of earlier steps keeps their numbers in `recent`, see
  `negatives`.
  """

  def __init__(self, towers: TwoTower, encoder: TextEncoder | None, memory_size: int = 0):
    self.towers = towers
    self.encoder = encoder
    self.recent = Buffer(jnp.zeros(memory_size, jnp.int32)) if memory_size else None


def widths(model: TwoTowerModel) -> Widths:
  """Those that a model was built with."""
  return Widths(model.towers.items.features.shape[1], model.towers.users.context_width)


def text_encoder(model: TwoTowerModel) -> TextEncoder:
  """The encoder of a model that reads text.

  Raises:
    ValueError: it is an id-only model.
  """
  if model.encoder is None:
    raise ValueError('an id-only model has no text encoder')
  return model.encoder


def score(
  model: TwoTowerModel,
  history: ArrayLike,
  rewards: ArrayLike,
  met: ArrayLike | None = None,
  times: ArrayLike | None = None,
  context: ArrayLike | None = None,
  vectors: jax.Array | None = None,
) -> jax.Array:
  """Logits [B, N] of the whole catalogue after histories [B, L].

  Args:
    model: in evaluation mode.
    history: [B, L] item index + 1, 0 for padding at the end.
    rewards: [B, L].
    met: [B, N] bool, items that are not recommended again; those of the history if not given.
    times: [B, L] int32 seconds, for user towers that read them.
    context: [B, C], features of users and moments; those of nobody in particular if not given.
    vectors: [N, D + R], `item_vectors` where they are known already.
  """
  items, history = model.towers.items, jnp.asarray(history)
  item_vectors = items.vectors() if vectors is None else vectors
  rest = (None if each is None else jnp.asarray(each) for each in (times, context))
  users = model.towers.encode_users(item_vectors, history, jnp.asarray(rewards), *rest)
  return items.new(users @ item_vectors.T + items.trend[...], items.has_id[...], history, met)


def answers(model: TwoTowerModel) -> Score:
  """Queries to `score` [Q, N], compiled; the model must not change meanwhile."""
  vectors = item_vectors(model)

  def of_queries(asked: Queries) -> jax.Array:
    given = asked.history, asked.rewards, None, asked.times, asked.context
    return compiled_score(model, *given, vectors)

  return of_queries


@nnx.jit
def item_vectors(model: TwoTowerModel) -> jax.Array:
  """[N, D + R] of the whole catalogue."""
  return model.towers.items.vectors()


compiled_score = nnx.jit(score)
