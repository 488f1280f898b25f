"""A catalogue with items that nobody has met: known ones and new ones, a tree each.

No training event ends at a new item, so that a decoder that chose among all tokens would learn
never to generate one. TIGER therefore gives unseen items a share ε of its lists (Rajput et al.
2023, 4.3). Here ε is a probability: with it the next item is a new one,

  P(item) = (1 - ε) P(item | known), or ε P(item | new),

and either is generated in a tree of its own by the same model, which tells new items apart by the
tokens that they share with known ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.typing import ArrayLike

from rec_jax.models.generative import beam_search, prefix_tree
from rec_jax.models.generative.beam_search import Found
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.generative.prefix_tree import PrefixTree
from rec_jax.models.generative.semantic_ids import SemanticIds

# Users whose whole catalogue is scored at once.
_CHUNK = 8


@struct.dataclass
class Catalogue:
  """Trees with what the items of each have of the probability.

  Attributes:
    trees: of the known items, and of the new ones where there are any.
    shares: of each, summing to 1.
  """

  trees: tuple[PrefixTree, ...]
  shares: tuple[jax.Array, ...]


def make(ids: SemanticIds, known: np.ndarray, new_share: ArrayLike) -> Catalogue:
  """The catalogue of N items.

  Args:
    ids: of all.
    known: [N] bool, items with a training event, at least one.
    new_share: ε in [0, 1], unless there are no new items.
  """
  share = jnp.float32(new_share if not known.all() else 0.0)
  trees = tuple(prefix_tree.build(ids, group) for group in (known, ~known) if group.any())
  return Catalogue(trees, (1 - share, share)[: len(trees)])


def scores(
  model: GenerativeModel,
  catalogue: Catalogue,
  history: ArrayLike,
  rewards: ArrayLike,
  times: ArrayLike | None = None,
) -> jax.Array:
  """[B, N], log P(item | history) of every item after histories [B, L], exactly.

  Args:
    model: in evaluation mode.
    catalogue: of N items.
    history: [B, L] int32, item index + 1, 0 for padding at the end.
    rewards: [B, L].
    times: [B, L] int32 seconds, for user towers that read them.
  """
  times = None if times is None else jnp.asarray(times)
  users = model.users_after(jnp.asarray(history), jnp.asarray(rewards), times)

  def of_user(user: jax.Array) -> jax.Array:
    parts = [
      model.log_probs(tree, user) + jnp.log(share)
      for tree, share in zip(catalogue.trees, catalogue.shares, strict=True)
    ]
    return jnp.stack(parts).max(0)

  return jax.lax.map(of_user, users, batch_size=_CHUNK)


def recommend(
  model: GenerativeModel,
  catalogue: Catalogue,
  history: ArrayLike,
  rewards: ArrayLike,
  is_open: ArrayLike,
  k: int,
  width: int,
  times: ArrayLike | None = None,
) -> Found:
  """The k likeliest open items after histories [B, L], by a beam search in each tree.

  Args:
    model: as in `scores`, like what follows it.
    catalogue: of N items.
    history: [B, L].
    rewards: [B, L].
    is_open: [B, N] bool, items that may be recommended.
    k: length of the lists.
    width: of the beams.
    times: [B, L].

  Returns:
    [B, k] of `Found`; an item of no probability is not recommended.
  """
  times = None if times is None else jnp.asarray(times)
  users = model.users_after(jnp.asarray(history), jnp.asarray(rewards), times)

  def of_user(user: jax.Array, allowed: jax.Array) -> Found:
    parts = []
    for tree, share in zip(catalogue.trees, catalogue.shares, strict=True):
      items, log_probs = beam_search.search(model, tree, user, allowed, k, width)
      parts.append((-(log_probs + jnp.log(share)), items))
    worse, items = (jnp.concatenate(each) for each in zip(*parts, strict=True))
    worse, items = (each[:k] for each in jax.lax.sort((worse, items), num_keys=2))
    return Found(jnp.where(worse < jnp.inf, items, -1), -worse)

  return jax.vmap(of_user)(users, jnp.asarray(is_open))
