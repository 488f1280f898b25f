"""The same numbers as RecBole's and implicit's own models on the same generated events.

Made by RecBole 1.2.1 (EASE, ItemKNN by item and by user, SLIMElastic with its solver run to a
tolerance of 1e-9) and implicit 0.7.3 (AlternatingLeastSquares, use_cg=False, from given item
factors), on 40 users and 24 items drawn by NumPy, one of each without events. Where a value
differs, ask which of the two has changed before making the file anew.
"""

import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from rec_jax.models.baselines import ease, ials, item_knn, slim, user_knn
from rec_jax.models.baselines.events import Events

GOLDEN = (
  pathlib.Path(__file__).parents[2] / 'data/golden/recbole_1_2_1_implicit_0_7_3_baselines.npz'
)
SHRINK, K = 3.0, 5


@pytest.fixture(scope='module')
def golden():
  with np.load(GOLDEN) as file:
    return dict(file)


@pytest.fixture(scope='module')
def events(golden):
  user, item = golden['user'], golden['item']
  return Events(user, item, np.arange(len(user)), *golden['size'].tolist())


def test_ease(golden, events):
  weights = ease.fit(events.user, events.item, events.num_items, lambda_=20.0)
  np.testing.assert_allclose(weights, golden['ease'], atol=2e-6)


def is_clear(seen):
  """Rows whose K-th neighbour is nearer than the next: of equals either side takes any."""
  norm = np.sqrt(seen.sum(1))
  similarity = seen @ seen.T / (np.outer(norm, norm) + SHRINK)
  np.fill_diagonal(similarity, 0)
  ordered = -np.sort(-similarity, axis=1)
  found = ordered[:, K - 1] > ordered[:, K] + 1e-6
  assert found.mean() > 0.5
  return found


def test_item_knn(golden, events):
  params = item_knn.fit(events, k=K, shrink=SHRINK)
  found = np.asarray(item_knn.scores(params, events.histories(24)))
  clear = is_clear(events.matrix.toarray().T)
  np.testing.assert_allclose(found[:, clear], golden['item_knn'][:, clear], atol=1e-5)


def test_user_knn(golden, events):
  """There a user is no neighbour of its own; here it is, and adds to its own items alone."""
  params = user_knn.fit(events, k=K + 1, shrink=SHRINK)
  found = np.asarray(user_knn.scores(params, events.histories(24)))
  seen = events.matrix.toarray()
  others = (seen == 0) & (is_clear(seen) & seen.any(1))[:, None]
  np.testing.assert_allclose(found[others], golden['user_knn'][others], atol=1e-5)


def test_slim(golden, events):
  total, ratio = events.num_users * 0.05, 0.1
  weights = slim.fit(
    events, l1=total * ratio, l2=total * (1 - ratio), num_sweeps=1000, tolerance=1e-7
  )
  np.testing.assert_allclose(weights, golden['slim'], atol=2e-5)
  assert 0.1 < (golden['slim'] > 0).mean() < 0.9


def test_ials(golden, events):
  found = ials.alternate(jnp.asarray(golden['ials_start']), events, 5.0, 0.7, 4, 6)
  np.testing.assert_allclose(found.users, golden['ials_users'], atol=2e-4)
  np.testing.assert_allclose(found.items, golden['ials_items'], atol=2e-4)
  # Users whose factors implicit solved anew from their events.
  new = ials.scores(found, events.histories(24)[7:12])
  np.testing.assert_allclose(new, golden['ials_new'] @ golden['ials_items'].T, atol=2e-4)
