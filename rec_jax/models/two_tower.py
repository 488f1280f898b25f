"""The two-tower softmax model, P(i|u) = exp(u·M̂(i)) / Σ_j exp(u·M̂(j)).

The item tower M̂ adds a projected text vector and a learnt id vector; items without an id are placed
by a ridge regression from text to such vectors. Features of items stand behind their text vectors
and go the same ways; of a user and a moment a linear map is added to the user vector. The user
tower reads the item vectors of the user's history, see `rec_jax.models.user_towers`. Beside these D
learnt directions stand R of a linear item-to-item model, fitted in closed form once the others have
been trained.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from rec_jax.models import user_towers
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.linear_path import Buffer, LinearPath
from rec_jax.models.new_items import NewItems
from rec_jax.models.text_regression import Moments, regression

# Penalty of the regression that places items without an id, in units of the mean eigenvalue of the
# Gram matrix of the texts, until one is chosen.
RIDGE = 1.0
# Items whose texts are scaled at once where no gradient is taken: 200 MB in a width of 384.
_ROWS = 2**17


class ItemTower(nnx.Module):
  """M̂: text and id to one vector.

  The text vectors of the catalogue are a cache: whoever trains the text encoder writes them.
  """

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    init = nnx.initializers.normal(config.dim**-0.5)
    self.dim = config.dim
    sizes = config.num_items, config.dim
    self.id = nnx.Embed(*sizes, embedding_init=init, rngs=rngs) if config.has_ids else None
    self.has_id = Buffer(jnp.ones(config.num_items, bool))
    self.id_dropout = nnx.Dropout(config.id_dropout_rate, broadcast_dims=(1,))
    # H + F: features are read with the text.
    width = config.text_dim + config.feature_dim if config.text_dim else 0
    self.project = nnx.Linear(width, config.dim, rngs=rngs) if width else None
    self.text = Buffer(jnp.zeros((config.num_items, config.text_dim)))
    self.text_mean = Buffer(jnp.zeros(config.text_dim))
    self.text_scale = Buffer(jnp.ones(()))
    self.features = Buffer(jnp.zeros((config.num_items, width - config.text_dim)))
    self.feature_scale = Buffer(jnp.ones(()))
    self.linear = LinearPath(config.num_items, config.linear_rank)
    self.popularity = Buffer(jnp.zeros(config.num_items))
    # Of what is learnt, of the linear path, and of the popularity.
    placed = config.dim + config.linear_rank + 1
    self.unseen_kernel = Buffer(jnp.zeros((width, placed)))
    self.unseen_bias = Buffer(jnp.zeros(placed))
    self.ridge = Buffer(jnp.float32(RIDGE))
    # What is added to the logits of known items, see `trend`.
    self.trend = Buffer(jnp.zeros(config.num_items))
    self.new = NewItems(config.num_items)

  def __call__(self, rngs: nnx.Rngs | None = None) -> jax.Array:
    """The learnt part of the item vectors of the whole catalogue, [N, D] float32.

    Items without a training event (`has_id` False) have no id vector: they are where `from_text`
    places them, at zero in an id-only model. `rngs` has a stream `dropout`, for training alone.
    """
    if self.id is None:
      return self.from_text(self.text[...], self.features[...])
    elsewhere = jnp.zeros(())
    if self.project is not None:
      elsewhere = self.from_text(self.text[...], self.features[...])[:, : self.dim]
    return jnp.where(self.has_id[...][:, None], self.learnt(rngs=rngs), elsewhere)

  def learnt(
    self,
    text: jax.Array | None = None,
    rows: jax.Array | None = None,
    rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """What is learnt of items with a training event, [N, D], or of `rows` [M] alone, [M, D].

    Of other items it says nothing. `text` [N, H] stands in for the cached text vectors.
    """

    def of(table: jax.Array) -> jax.Array:
      return table if rows is None else table[rows]

    by_id = jnp.zeros(())
    if self.id is not None:
      by_id = self.id_dropout(of(self.id.embedding[...]), rngs=rngs)
    if self.project is None:
      return by_id
    text = self.text[...] if text is None else text
    return by_id + self.project(self._scaled(of(text), of(self.features[...])))

  def vectors(self) -> jax.Array:
    """[N, D + R], item vectors of the whole catalogue, the linear path behind what is learnt."""
    sought = self.linear.sought[...]
    if self.project is not None and self.id is not None:
      placed = self.from_text(self.text[...], self.features[...])[:, self.dim :]
      sought = jnp.where(self.has_id[...][:, None], sought, placed)
    return jnp.concatenate([self(), sought], axis=1)

  def from_text(self, text: jax.Array, features: jax.Array | None = None) -> jax.Array:
    """[..., D + R], the vectors of items of which only text and features are known.

    Args:
      text: [..., H].
      features: [..., F]; those of no item in particular if not given.

    Raises:
      ValueError: the model is id-only.
    """
    if self.project is None:
      raise ValueError('an id-only model has no vectors from text')
    if self.id is None:
      return self.project(self._scaled(text, features))
    return self.regressed(text, features)[..., :-1]

  def new_popularity(self) -> jax.Array:
    """[N], the logarithm of how popular an item will be by its text; 0 is the mean."""
    return self.regressed(self.text[...], self.features[...])[:, -1]

  def by_features(self) -> jax.Array:
    """[F, D + R], what each number of the features of an item adds to where `from_text` puts it."""
    return self.feature_scale[...] * self.unseen_kernel[...][self.text.shape[1] :, :-1]

  def fill(
    self,
    text: jax.Array,
    has_id: jax.Array,
    popularity: jax.Array,
    features: jax.Array | None = None,
  ) -> None:
    """Sets the buffers.

    Sentence vectors share a large common part; what tells films apart is brought to a mean squared
    norm of D, that of the id vectors times D; and so are features, so that neither is a trifle to
    the regression, which penalises both alike.

    Args:
      text: [N, H] text vectors, scaled by those of the items that have ids.
      has_id: [N] bool.
      popularity: [N], `new_items.log_popularity`.
      features: [N, F], with a mean of zero over the items that have ids.
    """
    known = text[has_id]
    self.text[...], self.has_id[...], self.popularity[...] = text, has_id, popularity
    self.text_mean[...] = known.mean(0)
    self.text_scale[...] = self._scale(known - known.mean(0))
    if features is not None:
      self.features[...] = features
      self.feature_scale[...] = self._scale(features[has_id])

  def add(self, linear: LinearPath) -> None:
    """Puts a linear path [N, R] behind what is learnt; unseen items are then to be placed anew."""
    width = self.dim + linear.sought.shape[1] + 1
    self.linear = linear
    self.unseen_kernel = Buffer(jnp.zeros((len(self.unseen_kernel[...]), width)))
    self.unseen_bias = Buffer(jnp.zeros(width))

  def place_unseen(self) -> None:
    """Fits what `from_text` does: ridge regression of M̂ on text, over the items that have ids.

    An attribute-to-feature mapping (Gantner et al. 2010). The projection that is trained beside the
    ids will not do: it fits what the ids leave over, and leans on directions of the text in which
    few items differ.
    """
    if self.project is None or self.id is None:
      return
    self.unseen_kernel[...], self.unseen_bias[...] = _regressed_on_known(self)

  def moments_of_folds(self, fold: jax.Array, num_folds: int) -> Moments:
    """What the items of each fold [N] add to the regression of `place_unseen`, [num_folds, ...]."""
    has_id, numbers = self.has_id[...], jnp.arange(num_folds)
    return jax.lax.map(lambda number: self._moments(has_id & (fold == number)), numbers)

  def placed_by_others(self, fold: jax.Array, moments: Moments, ridge: jax.Array) -> jax.Array:
    """Each item where `place_unseen` would put it, fitted on the items of other folds.

    Args:
      fold: [N] as in `moments_of_folds`.
      moments: from there.
      ridge: [] the penalty.

    Returns:
      [N, D + R + 1], the popularity last.
    """
    text = self._scaled(self.text[...], self.features[...])
    total = jax.tree.map(lambda x: x.sum(0), moments)

    def of_fold(placed: jax.Array, one: tuple[jax.Array, Moments]) -> tuple[jax.Array, None]:
      number, own = one
      kernel, bias = regression(jax.tree.map(jnp.subtract, total, own), ridge)
      return jnp.where((fold == number)[:, None], text @ kernel + bias, placed), None

    numbers = jnp.arange(len(moments.number))
    nowhere = jnp.zeros((len(text), len(self.unseen_bias[...])))
    return jax.lax.scan(of_fold, nowhere, (numbers, moments))[0]

  def _moments(self, fitted: jax.Array) -> Moments:
    """Over the items `fitted` [N]."""
    assert self.id is not None
    ids, sought = self.id.embedding[...], self.linear.sought[...]
    rows = fitted, self.text[...], self.features[...], ids, sought, self.popularity[...]
    number = len(fitted)
    if number <= _ROWS:
      return self._sums(*rows)

    def add(total: Moments, start: jax.Array) -> tuple[Moments, None]:
      # The last part begins where all of its rows are there; those before it do not count again.
      begin = jnp.minimum(start, number - _ROWS)
      part = [jax.lax.dynamic_slice_in_dim(each, begin, _ROWS) for each in rows]
      part[0] &= begin + jnp.arange(_ROWS) >= start
      return jax.tree.map(jnp.add, total, self._sums(*part)), None

    shapes = jax.eval_shape(self._sums, *(each[:1] for each in rows))
    nothing = jax.tree.map(lambda each: jnp.zeros(each.shape, each.dtype), shapes)
    return jax.lax.scan(add, nothing, jnp.arange(0, number, _ROWS))[0]

  def _sums(
    self,
    fitted: jax.Array,
    text: jax.Array,
    features: jax.Array,
    ids: jax.Array,
    sought: jax.Array,
    popularity: jax.Array,
  ) -> Moments:
    """Of n items: whether they are fitted [n], what is known of them, and popularity [n]."""
    assert self.project is not None
    known, scaled = fitted.astype(jnp.float32)[:, None], self._scaled(text, features)
    learnt = ids + self.project(scaled)
    vectors = known * jnp.concatenate([learnt, sought, popularity[:, None]], axis=1)
    text = known * scaled
    return Moments(known.sum(), text.sum(0), vectors.sum(0), text.T @ text, text.T @ vectors)

  def regressed(self, text: jax.Array, features: jax.Array | None = None) -> jax.Array:
    """[..., D + R + 1], as `from_text` of a model with ids, and the popularity of items last."""
    kernel, bias = self.unseen_kernel[...], self.unseen_bias[...]
    if text.ndim == 2 and len(text) > _ROWS:
      rows = text, jnp.zeros((len(text), 0)) if features is None else features
      return jax.lax.map(
        lambda row: self._scaled(row[0], None if features is None else row[1]) @ kernel + bias,
        rows,
        batch_size=_ROWS,
      )
    return self._scaled(text, features) @ kernel + bias

  def _scaled(self, text: jax.Array, features: jax.Array | None = None) -> jax.Array:
    """[..., H + F]."""
    scaled = (text - self.text_mean[...]) * self.text_scale[...]
    if features is None:
      features = jnp.zeros((*text.shape[:-1], self.features.shape[1]))
    return jnp.concatenate([scaled, features * self.feature_scale[...]], axis=-1)

  def _scale(self, centred: jax.Array) -> jax.Array:
    """By what rows must be multiplied for their mean squared norm to be D."""
    # Rows that are all the same, or none, have no spread to divide by.
    spread = jnp.maximum(jnp.mean(jnp.sum(centred**2, axis=-1)), 1e-12)
    return jnp.sqrt(self.dim / spread)


# One program in place of one an operation.
@jax.jit
def _regressed_on_known(items: ItemTower) -> tuple[jax.Array, jax.Array]:
  return regression(items._moments(items.has_id[...]), items.ridge[...])


class TwoTower(nnx.Module):
  """Both towers; logits are inner products."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    self.items = ItemTower(config, rngs=rngs)
    self.users = user_towers.make(config, rngs=rngs)

  def encode_users(
    self,
    item_vectors: jax.Array,
    history: jax.Array,
    rewards: jax.Array,
    times: jax.Array | None = None,
    context: jax.Array | None = None,
  ) -> jax.Array:
    """User vectors after the whole of each history.

    Args:
      item_vectors: [N, D + R] of `ItemTower.vectors`.
      history: [B, L] as in `UserTower`.
      rewards: [B, L] likewise.
      times: [B, L] likewise, for towers that read them.
      context: [B, C], features of each user and of the moment of the request.

    Returns:
      [B, D + R].
    """
    learnt = item_vectors[:, : self.items.dim]
    vectors = user_towers.after_whole(self.users, learnt, history, rewards, times, context)
    return jnp.concatenate([vectors, self.items.linear.users(history)], axis=1)
