"""Retrieval by text alone, against cosines taken one by one."""

import numpy as np

from rec_jax.tasks import zero_shot

NUM_ITEMS, DIM = 7, 4
KNOWN = np.arange(NUM_ITEMS) < 5


def made():
  """Vectors that share a large common part."""
  return np.float32(np.random.default_rng(4).normal(size=(NUM_ITEMS, DIM)) + 5)


def cosines():
  centred = made() - made()[KNOWN].mean(0)
  return centred @ centred.T / np.outer(*2 * [np.linalg.norm(centred, axis=1)])


def test_directions_are_of_what_texts_do_not_share():
  directions = np.asarray(zero_shot.directions(made(), KNOWN))
  np.testing.assert_allclose(directions @ directions.T, cosines(), atol=1e-5)
  # Without centring all items would look alike.
  assert np.min(cosines()) < 0 < np.min(made() @ made().T)


def test_a_score_is_the_similarity_to_each_event_and_recent_ones_count_more():
  directions = zero_shot.directions(made(), KNOWN)
  history = np.array([[3, 1, 6, 0, 0], [0, 0, 0, 0, 0]])
  expected = 0.25 * cosines()[2] + 0.5 * cosines()[0] + cosines()[5]
  found = np.asarray(zero_shot.scores(directions, history, decay=0.5))
  np.testing.assert_allclose(found[0], expected, atol=1e-5)
  np.testing.assert_array_equal(found[1], 0)
