"""A beam as wide as the catalogue finds what enumerating all items finds, a narrow one items."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.generative import beam_search, prefix_tree, semantic_ids
from tests.models.generative import examples

NUM = examples.NUM_ITEMS
ALL = np.ones(NUM, bool)
USER = np.random.default_rng(3).normal(size=examples.CONFIG.dim).astype(np.float32)

search = nnx.jit(beam_search.search, static_argnames=('k', 'width'))


@pytest.fixture(scope='module')
def planted():
  """(model, ids, tree of all items)."""
  ids = examples.ragged_ids()
  return examples.model(ids), ids, prefix_tree.build(ids, ALL)


def with_ties(model):
  """The model, to which all tokens are alike: items differ by the shape of the tree alone."""
  model = nnx.clone(model)
  model.head.kernel[...] = jnp.zeros_like(model.head.kernel[...])
  return model


@pytest.mark.parametrize('ties', [False, True])
def test_the_widest_beam_is_the_enumeration(planted, ties):
  model, ids, tree = planted
  model = with_ties(model) if ties else model
  wanted = examples.log_probs(model, ids, ALL, USER)
  assert (len(np.unique(wanted.round(6))) < NUM) == ties
  for is_open in (ALL, np.arange(NUM) % 3 > 0):
    # More than there are.
    found = search(model, tree, USER, is_open, k=NUM + 3, width=NUM)
    assert found.items.tolist() == examples.best(wanted.round(5), is_open, NUM + 3)
    is_item = np.asarray(found.items) >= 0
    np.testing.assert_allclose(
      found.log_probs[is_item], wanted[np.asarray(found.items)[is_item]], atol=1e-5
    )
    assert np.isneginf(np.asarray(found.log_probs)[~is_item]).all()


def test_a_narrow_beam_ends_at_open_items(planted):
  model, ids, tree = planted
  wanted = examples.log_probs(model, ids, ALL, USER)
  for seed in range(4):
    is_open = np.random.default_rng(seed).random(NUM) < 0.3
    found = search(model, tree, USER, is_open, k=2, width=2)
    items = np.asarray(found.items)
    assert items[0] >= 0 and is_open[items[items >= 0]].all()
    assert len(set(items[items >= 0].tolist())) == (items >= 0).sum()
    np.testing.assert_allclose(found.log_probs[0], wanted[items[0]], atol=1e-5)


def test_nothing_is_found_where_nothing_is_open(planted):
  model, _, tree = planted
  assert search(model, tree, USER, ~ALL, k=2, width=2).items.tolist() == [-1, -1]


@pytest.mark.parametrize('number', [1, pytest.param(3, marks=pytest.mark.soak)])
def test_texts_that_are_all_the_same_are_one_choice(number):
  ids = semantic_ids.unique(np.zeros((number, 1), np.int32), 1, np.ones(number, bool))
  model, everything = examples.model(ids), np.ones(number, bool)
  tree = prefix_tree.build(ids, everything)
  wanted = examples.log_probs(model, ids, everything, USER)
  found = search(model, tree, USER, everything, k=4, width=4)
  assert found.items.tolist() == examples.best(wanted, everything, 4)
  np.testing.assert_allclose(np.exp(found.log_probs).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(('k', 'width'), [(0, 1), (1, 0)])
def test_no_list_and_no_beam_are_refused(planted, k, width):
  model, _, tree = planted
  with pytest.raises(ValueError, match='have to be 1 or more'):
    beam_search.search(model, tree, jnp.asarray(USER), ALL, k, width)
