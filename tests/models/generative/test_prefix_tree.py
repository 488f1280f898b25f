"""The arrays of the tree say what a dictionary of prefixes says."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models.generative import prefix_tree
from tests.models.generative import examples

MEMBERS = np.arange(examples.NUM_ITEMS) % 5 > 0


@pytest.fixture(scope='module', params=['all', 'some'])
def planted(request):
  """(the tree, name -> item of its items)."""
  members = MEMBERS if request.param == 'some' else np.ones(examples.NUM_ITEMS, bool)
  ids = examples.ragged_ids()
  tree = prefix_tree.build(ids, members)
  return tree, {tuple(ids.tokens[item].tolist()): item for item in np.flatnonzero(members)}


def prefixes(tree):
  """Node -> its tokens, by the children of each node."""
  found, at_depth = {0: ()}, [0]
  for depth in range(tree.depth):
    below = []
    for node in at_depth:
      for child in np.asarray(tree.children(jnp.int32(node), depth)):
        if child >= 0:
          found[int(child)] = (*found[node], int(tree.token[child]))
          below.append(int(child))
    at_depth = below
  return found


def test_children_are_the_tokens_that_may_follow(planted):
  tree, names = planted
  found = prefixes(tree)
  wanted = {name[:depth] for name in names for depth in range(tree.depth + 1)}
  assert sorted(found.values()) == sorted(wanted)
  assert sorted(found) == list(range(len(tree.token)))
  assert tree.starts[-1] == len(tree.token)
  assert (np.asarray(tree.children(jnp.int32(-1), 0)) == -1).all()


def test_what_stands_below_a_prefix_is_in_a_row(planted):
  tree, names = planted
  for node, prefix in prefixes(tree).items():
    begin = int(tree.first_leaf[node])
    below = tree.items[begin : begin + int(tree.num_leaves[node])].tolist()
    assert sorted(below) == sorted(i for name, i in names.items() if name[: len(prefix)] == prefix)


def test_items_pass_the_nodes_of_their_prefixes(planted):
  tree, names = planted
  found = prefixes(tree)
  for name, item in names.items():
    path = tree.nodes[tree.place[item]].tolist()
    assert [found[node] for node in path] == [name[:depth] for depth in range(len(name) + 1)]
  absent = sorted(set(range(examples.NUM_ITEMS)) - set(names.values()))
  assert (tree.place[np.array(absent, int)] == len(names)).all()


def test_every_choice_is_on_a_path_and_no_path_is_without_need(planted):
  tree, _ = planted
  found = prefixes(tree)
  several = {found[node] for node in found if int(tree.num_children[node]) > 1}
  read = set()
  for depth, (nodes, rows) in enumerate(tree.branches):
    for node, row in zip(nodes.tolist(), rows.tolist(), strict=True):
      assert found[node] == tuple(tree.paths[row, :depth].tolist())
      read.add(found[node])
  assert read == several
  longest = {a for a in several if not any(b != a and b[: len(a)] == a for b in several)}
  assert len(tree.paths) == len(longest)


def test_what_is_no_tree_is_refused():
  ids = examples.ragged_ids()
  with pytest.raises(ValueError, match='needs an item'):
    prefix_tree.build(ids, np.zeros(examples.NUM_ITEMS, bool))
  twice = dataclasses.replace(ids, tokens=ids.tokens[[0] * examples.NUM_ITEMS])
  with pytest.raises(ValueError, match='the same id'):
    prefix_tree.build(twice, np.ones(examples.NUM_ITEMS, bool))
