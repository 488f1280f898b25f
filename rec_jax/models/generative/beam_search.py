"""Beam search over a prefix tree: the likeliest items, without a look at all of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.generative.prefix_tree import PrefixTree


class Found(NamedTuple):
  """The k best items, best first, of equals those of lower index.

  Attributes:
    items: [k] int32, -1 where there are no more.
    log_probs: [k], -inf there.
  """

  items: jax.Array
  log_probs: jax.Array


def search(
  model: GenerativeModel,
  tree: PrefixTree,
  user: jax.Array,
  is_open: ArrayLike,
  k: int,
  width: int,
) -> Found:
  """The likeliest open items; the caller vmaps over users.

  A prefix is given up where no item below it is open, so that every beam ends at an item that may
  be recommended. As wide as the tree has items the search is exact.

  Args:
    model: in evaluation mode.
    tree: of the items to choose from.
    user: [width of the model] of `GenerativeModel.users_after`.
    is_open: [N] bool, items that may be recommended.
    k: how many are sought, at least 1; there may be fewer.
    width: prefixes that are kept after each token, at least 1, and as many as k at least.

  Raises:
    ValueError: k or the width is below 1.
  """
  if k < 1 or width < 1:
    raise ValueError(f'k={k} and width={width} have to be 1 or more')
  opened = jnp.asarray(is_open)[tree.items]
  number = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(opened.astype(jnp.int32))])
  node, score = jnp.zeros(1, jnp.int32), jnp.zeros(1)
  tokens = jnp.zeros((1, 0), jnp.int32)
  for depth in range(tree.depth):
    users = jnp.broadcast_to(user, (len(node), len(user)))
    hidden = model.hidden(users, tokens)[:, -1]
    child, log_prob = model.children(tree, node, hidden, depth)
    first = tree.first_leaf[child]
    has_open = number[first + tree.num_leaves[child]] > number[first]
    total = jnp.where(has_open, score[:, None] + log_prob, -jnp.inf).reshape(-1)
    nodes = tree.starts[depth + 2] - tree.starts[depth + 1]
    score, kept = jax.lax.top_k(total, min(max(width, k), nodes, total.size))
    node = child.reshape(-1)[kept]
    tokens = jnp.concatenate([tokens[kept // child.shape[1]], tree.token[node][:, None]], axis=1)
  items = tree.items[jnp.minimum(node - tree.starts[tree.depth], len(tree.items) - 1)]
  items = jnp.where(score > -jnp.inf, items, len(tree.place))
  worst_first, items = jax.lax.sort((-score, items), num_keys=2)
  missing = (0, max(k - len(items), 0))
  items = jnp.pad(items[:k], missing, constant_values=len(tree.place))
  scores = jnp.pad(-worst_first[:k], missing, constant_values=-jnp.inf)
  return Found(jnp.where(items < len(tree.place), items, -1), scores)
