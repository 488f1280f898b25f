"""The prefix tree of semantic ids as arrays: which token may follow a prefix, and whose it is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.models.generative.semantic_ids import SemanticIds


class Branches(NamedTuple):
  """The nodes of one depth that have more than one child, B of them: elsewhere nothing is chosen.

  Attributes:
    node: [B] int32.
    row: [B] int32, a row of `PrefixTree.paths` that leads through each.
  """

  node: jax.Array
  row: jax.Array


@struct.dataclass
class PrefixTree:
  """The tree of M items of a catalogue of N, with T nodes at depths 0 (the root) to D (the items).

  Nodes are numbered depth by depth and within a depth in the order of their tokens, so that the
  children of a node follow each other, and the items below it do.

  Attributes:
    token: [T] int32, the last token of each prefix, as it counts within its level; 0 at the root.
    first_child: [T] int32.
    num_children: [T] int32, 0 for items.
    first_leaf: [T] int32, place in `items` of the first item below.
    num_leaves: [T] int32.
    items: [M] int32, item indices in the order of their ids.
    nodes: [M, D + 1] int32, what each of them passes from the root on.
    place: [N] int32, where an item stands in `items`; M if it does not.
    paths: [P, D] int32, tokens of P items whose prefixes are all nodes with more than one child.
    branches: of depths 0 to D - 1.
    starts: number of the first node of each depth, and T.
    widths: the most children of a node of depths 0 to D - 1.
  """

  token: jax.Array
  first_child: jax.Array
  num_children: jax.Array
  first_leaf: jax.Array
  num_leaves: jax.Array
  items: jax.Array
  nodes: jax.Array
  place: jax.Array
  paths: jax.Array
  branches: tuple[Branches, ...]
  starts: tuple[int, ...] = struct.field(pytree_node=False)
  widths: tuple[int, ...] = struct.field(pytree_node=False)

  @property
  def depth(self) -> int:
    """D, tokens of an id."""
    return len(self.widths)

  def children(self, node: jax.Array, depth: int) -> jax.Array:
    """[..., C] int32, the children of nodes [...] of one depth.

    C is the most that a node of this depth has; those that a node has not are -1, and so are all of
    a node that is -1.
    """
    offset = jnp.arange(self.widths[depth])
    is_child = (offset < self.num_children[node][..., None]) & (node >= 0)[..., None]
    return jnp.where(is_child, self.first_child[node][..., None] + offset, -1)


def build(ids: SemanticIds, members: np.ndarray) -> PrefixTree:
  """The tree of some items.

  Args:
    ids: of N items.
    members: [N] bool, at least one.

  Raises:
    ValueError: there is no item, or two have one id.
  """
  items = np.flatnonzero(members)
  if not len(items):
    raise ValueError('a prefix tree needs an item')
  items = items[np.lexsort(ids.tokens[items].T[::-1])]
  tokens = ids.tokens[items]
  number, depth = tokens.shape
  # Whether a prefix of d tokens is another one than that of the item before.
  differs = np.ones((number, depth + 1), bool)
  differs[1:, 0] = False
  differs[1:, 1:] = np.logical_or.accumulate(tokens[1:] != tokens[:-1], axis=1)
  if not differs[:, -1].all():
    raise ValueError('two items have the same id')
  starts = np.concatenate([[0], np.cumsum(differs.sum(0))])
  nodes = starts[:-1] + np.cumsum(differs, axis=0) - 1
  leaf, level = np.nonzero(differs)
  first_leaf = np.empty(starts[-1], np.int64)
  token, first_child = np.zeros_like(first_leaf), np.zeros_like(first_leaf)
  first_leaf[nodes[leaf, level]] = leaf
  token[nodes[leaf, level]] = np.where(level > 0, tokens[leaf, level - 1], 0)
  has_child = level < depth
  first_child[nodes[leaf, level][has_child]] = nodes[leaf, np.minimum(level + 1, depth)][has_child]
  num_children = np.bincount(
    np.concatenate([nodes[differs[:, d + 1], d] for d in range(depth)]), minlength=starts[-1]
  )
  place = np.full(len(members), number)
  place[items] = np.arange(number)
  rows, branches = _branches(nodes, num_children)
  return PrefixTree(
    token=jnp.asarray(token, jnp.int32),
    first_child=jnp.asarray(first_child, jnp.int32),
    num_children=jnp.asarray(num_children, jnp.int32),
    first_leaf=jnp.asarray(first_leaf, jnp.int32),
    num_leaves=jnp.asarray(np.bincount(nodes.reshape(-1), minlength=starts[-1]), jnp.int32),
    items=jnp.asarray(items, jnp.int32),
    nodes=jnp.asarray(nodes, jnp.int32),
    place=jnp.asarray(place, jnp.int32),
    paths=jnp.asarray(tokens[rows], jnp.int32),
    branches=branches,
    starts=tuple(starts.tolist()),
    widths=tuple(int(num_children[starts[d] : starts[d + 1]].max()) for d in range(depth)),
  )


def _branches(
  nodes: np.ndarray, num_children: np.ndarray
) -> tuple[np.ndarray, tuple[Branches, ...]]:
  """Places of the fewest items that pass all nodes with several children, and these nodes."""
  number, depth = nodes.shape[0], nodes.shape[1] - 1
  is_branch = num_children[nodes[:, :depth]] > 1
  # The deepest of an item's path; the first item below it stands for all.
  deepest = depth - 1 - np.argmax(is_branch[:, ::-1], axis=1)
  deepest = np.where(is_branch.any(1), deepest, 0)
  last = nodes[np.arange(number), deepest]
  inner = np.unique(nodes[:, :depth][is_branch & (np.arange(depth) < deepest[:, None])])
  rows = np.flatnonzero(~np.isin(last, inner))
  rows = rows[np.unique(last[rows], return_index=True)[1]]
  branches = []
  for d in range(depth):
    node, row = np.unique(nodes[rows, d], return_index=True)
    several = num_children[node] > 1
    branches.append(
      Branches(jnp.asarray(node[several], jnp.int32), jnp.asarray(row[several], jnp.int32))
    )
  return rows, tuple(branches)
