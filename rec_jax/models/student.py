"""The student: both towers at a small fraction of the teacher's cost, with the same interface."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models.config import TransformerConfig, TwoTowerConfig
from rec_jax.models.linear_path import Buffer, LinearPath
from rec_jax.models.new_items import NewItems
from rec_jax.models.text_encoder import mean_pool
from rec_jax.models.transformer import Transformer
from rec_jax.models.two_tower import TwoTower
from rec_jax.models.user_towers import after_whole
from rec_jax.models.user_towers.transformer import CausalTransformer


@dataclasses.dataclass(frozen=True)
class StudentConfig:
  """Sizes of the student.

  Attributes:
    num_items: N.
    vocab_size: V, number of token ids.
    text_length: L, tokens of an item text.
    dim: D, width of user and item vectors.
    token_dim: E, width of a token vector.
    text_dim: H, width of the text tower, which has one block.
    num_heads: attention heads of either tower.
    history_length: events that the user tower sees.
    linear_rank: R, directions of the linear path from item to item, which is the teacher's.
    dropout_rate: in the user tower.
    feature_dim: F, numbers of the features of an item that are read beside its text.
    context_dim: C, numbers of the features of a user and a moment.
  """

  num_items: int
  vocab_size: int
  text_length: int
  dim: int = 32
  token_dim: int = 128
  text_dim: int = 64
  num_heads: int = 4
  history_length: int = 50
  linear_rank: int = 0
  dropout_rate: float = 0.0
  feature_dim: int = 0
  context_dim: int = 0


# Texts that are encoded at once: activations of 32 tokens in a width of 64 are 8 MB an array.
_PIECE = 1024
# Of the weights that make texts differ before training.
SMALL = 0.1


class Student(nnx.Module):
  """A table of vectors for known items, one narrow block for the text of others, one for users.

  Items that the teacher knows by id do not pass through the text tower: their vectors are learnt
  outright.
  """

  def __init__(self, config: StudentConfig, *, rngs: nnx.Rngs):
    small = nnx.initializers.normal(0.02)
    shape = (config.num_items, config.text_length)
    self.input_ids = Buffer(jnp.zeros(shape, jnp.int32))
    self.mask = Buffer(jnp.zeros(shape, jnp.int32))
    self.has_id = Buffer(jnp.ones(config.num_items, bool))
    self.trend = Buffer(jnp.zeros(config.num_items))
    self.new = NewItems(config.num_items)
    self.id = nnx.Embed(config.num_items, config.dim, embedding_init=small, rngs=rngs)
    self.token = nnx.Embed(config.vocab_size, config.token_dim, embedding_init=small, rngs=rngs)
    self.hidden = nnx.Linear(config.token_dim, config.text_dim, rngs=rngs)
    self.position = nnx.Embed(config.text_length, config.text_dim, embedding_init=small, rngs=rngs)
    self.text = Transformer(
      TransformerConfig(
        num_layers=1,
        num_heads=config.num_heads,
        hidden_dim=config.text_dim,
        mlp_dim=2 * config.text_dim,
        dropout_rate=0.0,
        norm_first=True,
        norm_epsilon=1e-6,
      ),
      rngs=rngs,
    )
    self.norm = nnx.LayerNorm(config.text_dim, rngs=rngs)
    self.linear = LinearPath(config.num_items, config.linear_rank)
    width = config.dim + config.linear_rank
    self.out = nnx.Linear(config.text_dim, width, rngs=rngs)
    self.features = Buffer(jnp.zeros((config.num_items, config.feature_dim)))
    by_features = jnp.zeros((config.feature_dim, width))
    self.by_features = nnx.Param(by_features) if config.feature_dim else None
    self.users = CausalTransformer(
      TwoTowerConfig(
        num_items=config.num_items,
        text_dim=0,
        dim=config.dim,
        num_layers=1,
        num_heads=config.num_heads,
        history_length=config.history_length,
        dropout_rate=config.dropout_rate,
        context_dim=config.context_dim,
      ),
      rngs=rngs,
    )

  def from_tokens(
    self, input_ids: jax.Array, mask: jax.Array, features: jax.Array | None = None
  ) -> jax.Array:
    """[B, D + R], the vectors of items of which only text and features are known.

    Args:
      input_ids: [B, L].
      mask: [B, L].
      features: [B, F]; those of no item in particular if not given.
    """
    x = self.hidden(self.token(input_ids)) + self.position(jnp.arange(input_ids.shape[1]))
    vectors = self.out(mean_pool(self.norm(self.text(x, mask)), mask))
    if features is None or self.by_features is None:
      return vectors
    return vectors + features @ self.by_features[...]

  def item_vectors(self) -> jax.Array:
    """[N, D + R], the catalogue: by id where there were events before the cut, else by text."""

    def of_text(row: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
      return self.from_tokens(*(each[None] for each in row))[0]

    rows = self.input_ids[...], self.mask[...], self.features[...]
    by_text = jax.lax.map(of_text, rows, batch_size=_PIECE)
    known = jnp.concatenate([self.id.embedding[...], self.linear.sought[...]], axis=1)
    return jnp.where(self.has_id[...][:, None], known, by_text)

  def encode_users(
    self,
    item_vectors: jax.Array,
    history: jax.Array,
    rewards: jax.Array,
    chosen: jax.Array | None = None,
    context: jax.Array | None = None,
  ) -> jax.Array:
    """User vectors after the whole of each history; see `TwoTower.encode_users`.

    Args:
      item_vectors: [N, D + R].
      history: [B, L].
      rewards: [B, L].
      chosen: [B, L] bool, the events in which the user chose the item, which alone lead to others
        on the linear path; all where items are not shown but sought.
      context: [B, C], features of each user and of the moment of the request.

    Returns:
      [B, D + R].
    """
    items = item_vectors[:, : self.id.features]
    learnt = after_whole(self.users, items, history, rewards, context=context)
    sought = history if chosen is None else jnp.where(chosen, history, 0)
    return jnp.concatenate([learnt, self.linear.users(sought)], axis=1)


def start_from(
  student: Student, items: jax.Array, users: jax.Array, texts: jax.Array, linear: LinearPath
) -> None:
  """Places a student where the teacher's items, its average user and its average text are.

  From random weights the first gradients would be hundreds of times as large as later ones, and
  spent on moving all users and all texts alike.

  Args:
    student: changed in place.
    items: [N, D] vectors of the teacher, what it learnt of them.
    users: [U, D] likewise, of some users.
    texts: [C, D + R] of the teacher, of some texts without ids.
    linear: the teacher's, which becomes the student's.
  """
  width = items.shape[1]
  directions = principal_directions(items, student.id.features)
  users = users @ directions
  student.id.embedding[...] = items @ directions
  student.users.norm.bias = nnx.Param(users.mean(0))
  student.users.norm.scale = nnx.Param(jnp.full(users.shape[1], users.std(0).mean()))
  learnt, direct = texts[:, :width], texts[:, width:]
  student.out.bias = nnx.Param(jnp.concatenate([learnt @ directions, direct], axis=1).mean(0))
  student.out.kernel[...] *= SMALL
  student.linear = nnx.clone(linear)


def take_features_from(student: Student, items: jax.Array, teacher: TwoTower) -> None:
  """Gives a student what its teacher makes of features: linear maps, so that nothing is lost.

  Args:
    student: changed in place.
    items: [N, D] as given to `start_from`.
    teacher: its towers.
  """
  directions = principal_directions(items, student.id.features)
  if student.by_features is not None:
    learnt, direct = jnp.split(teacher.items.by_features(), [items.shape[1]], axis=1)
    student.by_features[...] = jnp.concatenate([learnt @ directions, direct], axis=1)
  if student.users.context is not None and teacher.users.context is not None:
    student.users.context.kernel[...] = teacher.users.context.kernel[...] @ directions


def principal_directions(item_vectors: jax.Array, dim: int) -> jax.Array:
  """[D, dim], the directions that hold most of item vectors [N, D]; zeros past D of them."""
  _, directions = jnp.linalg.eigh(item_vectors.T @ item_vectors)
  leading = directions[:, ::-1][:, :dim]
  return jnp.pad(leading, ((0, 0), (0, dim - leading.shape[1])))


def principal_token_vectors(embedding: jax.Array, dim: int) -> jax.Array:
  """[V, dim], the rows of an embedding [V, H] in its leading principal directions.

  They tell which tokens are alike, also those that no training text contains. Each direction is
  scaled to unit variance, but for those in which V tokens, no more than there are directions, do
  not differ.
  """
  centred = embedding - embedding.mean(0)
  variance, directions = jnp.linalg.eigh(centred.T @ centred / len(embedding))
  leading = directions[:, ::-1][:, :dim]
  # What rounding leaves of a variance of zero may be negative.
  spread = jnp.sqrt(jnp.maximum(variance, 1e-6 * variance[-1]))
  return centred @ leading / spread[::-1][:dim]
