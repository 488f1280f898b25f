"""The probabilities of the model are those of the enumeration, and nothing later is read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rec_jax.models.generative import catalogue as catalogues
from rec_jax.models.generative import prefix_tree
from rec_jax.models.generative.model import GenerativeModel
from rec_jax.models.generative.semantic_ids import SemanticIds
from tests.models.generative import examples

NUM, LENGTH = examples.NUM_ITEMS, examples.LENGTH
KNOWN = np.arange(NUM) % 4 > 0
HISTORY = np.array([[3, 14, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0]], np.int32)
LIKED = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.int32)


@pytest.fixture(scope='module')
def planted():
  """(model, ids)."""
  ids = examples.ragged_ids()
  return examples.model(ids), ids


@nnx.jit
def answers(model, known, new, history, liked, share):
  """Users, log P of each known item for the first of them, exact scores, and whole lists."""
  history, liked = jnp.asarray(history), jnp.asarray(liked)
  users = model.users_after(history, liked)
  of_first = jnp.broadcast_to(users[0], (len(known.items), users.shape[1]))
  single = model.log_prob(known, of_first, known.items)
  shares = 1 - share, share
  catalogue = catalogues.Catalogue((known, new), shares)
  given = model, catalogue, history, liked
  is_open = jnp.ones((len(history), NUM), bool)
  lists = catalogues.recommend(*given, is_open, k=NUM, width=NUM)
  return users, single, catalogues.scores(*given), lists


@pytest.fixture(scope='module', params=[0.0, 0.25])
def answered(request, planted):
  """(share of new items, what the model answers, by hand among known and among new items)."""
  model, ids = planted
  known, new = prefix_tree.build(ids, KNOWN), prefix_tree.build(ids, ~KNOWN)
  found = answers(model, known, new, HISTORY, LIKED, jnp.float32(request.param))
  users, single, scores, lists = jax.tree.map(np.asarray, found)
  by_hand = [
    np.stack([examples.log_probs(model, ids, group, user) for user in users])
    for group in (KNOWN, ~KNOWN)
  ]
  return request.param, known.items, single, scores, lists, by_hand


def test_log_probabilities_are_those_by_hand(answered):
  share, items, single, scores, _, (known, new) = answered
  np.testing.assert_allclose(single, known[0][np.asarray(items)], atol=1e-5)
  with np.errstate(divide='ignore'):
    wanted = np.where(KNOWN, known + np.log(1 - share), new + np.log(share))
  np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_new_items_have_their_share(answered):
  share, _, _, scores, lists, _ = answered
  probability = np.exp(scores)
  np.testing.assert_allclose(probability[:, ~KNOWN].sum(1), share, atol=1e-5)
  np.testing.assert_allclose(probability[:, KNOWN].sum(1), 1 - share, rtol=1e-5)
  for row, user in enumerate(scores):
    assert lists.items[row].tolist() == examples.best(user, np.ones(NUM, bool), NUM)
  # Without a share new items are out of reach of any beam.
  assert np.isin(np.flatnonzero(~KNOWN), lists.items).all() == (share > 0)


def test_where_all_items_are_known_there_is_no_share_to_give(planted):
  catalogue = catalogues.make(planted[1], np.ones(NUM, bool), 0.25)
  assert [float(share) for share in catalogue.shares] == [1.0]


def test_a_prefix_is_read_without_what_follows(planted):
  model, _ = planted

  def read(table):
    copy = nnx.clone(model)
    copy.token.embedding[...] = table
    # A norm makes the plain sum the same whatever is read.
    return copy.hidden(jnp.ones((1, 8)), jnp.array([[1, 2, 1]]))[0] @ jnp.arange(8.0)

  table = model.token.embedding[...]
  own = np.array([model.offsets[0] + 1, model.offsets[1] + 2, model.offsets[2] + 1])
  gradient = jax.jit(jax.jacrev(read))(table)[:, own]
  reads = np.abs(np.asarray(gradient)).sum(-1) > 0
  np.testing.assert_array_equal(reads, np.arange(3) < np.arange(4)[:, None])


def test_a_user_is_known_by_what_came_before():
  """Each event is of an item of its own: the gradient of its tokens is that of the event."""
  tokens = np.repeat(np.arange(LENGTH, dtype=np.int32)[:, None], 2, axis=1)
  ids = SemanticIds(tokens, (LENGTH, LENGTH))
  model = nnx.view(GenerativeModel(examples.CONFIG, ids, 1, rngs=nnx.Rngs(0)), deterministic=True)
  history = jnp.arange(1, LENGTH + 1)[None]

  def users(table):
    copy = nnx.clone(model)
    copy.token.embedding[...] = table
    return copy.users_after_prefixes(history, jnp.zeros_like(history))[0] @ jnp.arange(8.0)

  gradient = jax.jit(jax.jacrev(users))(model.token.embedding[...])
  reads = np.abs(np.asarray(gradient)).sum(-1).reshape(LENGTH + 1, 2, LENGTH) > 0
  wanted = np.arange(LENGTH) < np.arange(LENGTH + 1)[:, None, None]
  np.testing.assert_array_equal(reads, np.broadcast_to(wanted, reads.shape))
