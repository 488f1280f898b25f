"""The two towers: who sees what, and gradients by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

from rec_jax.losses.retrieval import full_softmax
from rec_jax.models import two_tower
from rec_jax.models.config import TwoTowerConfig
from rec_jax.models.two_tower import TwoTower
from rec_jax.models.user_towers import last_user_vector
from tests.models import modules

N, H, D, L = 7, 5, 4, 3
HAS_ID = np.arange(N) != 2
HISTORY = np.array([[3, 1, 7], [5, 2, 0], [0, 0, 0], [4, 0, 0]], np.int32)
REWARDS = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]], np.int32)
TARGET = np.array([3, 0, 5, 6])


def texts(seed=0):
  return np.random.default_rng(seed).normal(size=(N, H)).astype(np.float32)


def config(**changes):
  return TwoTowerConfig(num_items=N, dim=D, num_heads=2, history_length=L, **changes)


def random_model(text_dim=H, **changes):
  sizes = config(text_dim=text_dim, **changes)
  model = modules.random(lambda: TwoTower(sizes, rngs=nnx.Rngs(0)))
  popularity = jnp.arange(N, dtype=jnp.float32)
  model.items.fill(jnp.asarray(texts()[:, :text_dim]), jnp.asarray(HAS_ID), popularity)
  return model


@pytest.fixture(scope='module')
def model():
  return random_model()


@jax.jit
def encode(model, history, rewards):
  return model.users(model.items(), history, rewards)


def loss(model, history=HISTORY):
  item_vectors = model.items()
  user_vectors = model.encode_users(item_vectors, history, REWARDS)
  return full_softmax(user_vectors, item_vectors, TARGET, model.items.has_id[...]).sum()


def test_position_t_has_seen_t_events(model):
  before = np.asarray(encode(model, HISTORY, REWARDS))
  assert before.shape == (4, L + 1, D)
  for t in range(L):
    for history, rewards in [
      (np.where(np.arange(L) == t, 6, HISTORY), REWARDS),
      (HISTORY, np.where(np.arange(L) == t, 1 - REWARDS, REWARDS)),
    ]:
      after = np.asarray(encode(model, history, rewards))
      np.testing.assert_array_equal(after[0, : t + 1], before[0, : t + 1])
      assert (np.abs(after - before)[0, t + 1 :].max(-1) > 1e-4).all()


def test_a_longer_history_continues_a_shorter_one(model):
  whole = encode(model, HISTORY, REWARDS)
  for t in range(L + 1):
    prefix = np.where(np.arange(L) < t, HISTORY[0], 0)[None]
    vectors = encode(model, prefix, REWARDS[:1])
    np.testing.assert_allclose(last_user_vector(vectors, prefix)[0], whole[0, t], atol=1e-5)


def test_users_of_whom_nothing_is_known_are_one(model):
  start = np.asarray(encode(model, HISTORY, REWARDS))[:, 0]
  np.testing.assert_array_equal(start, np.tile(start[:1], (4, 1)))


def test_the_order_of_events_counts(model):
  swapped = encode(model, HISTORY[:, [1, 0, 2]], REWARDS[:, [1, 0, 2]])
  assert np.abs(swapped - encode(model, HISTORY, REWARDS))[0, 2:].min(0).max() > 1e-4


def test_the_last_vector_is_that_after_the_whole_history():
  vectors = np.arange(4 * (L + 1) * D, dtype=np.float32).reshape(4, L + 1, D)
  expected = [vectors[0, 3], vectors[1, 2], vectors[2, 0], vectors[3, 1]]
  np.testing.assert_array_equal(last_user_vector(vectors, HISTORY), expected)


def projected(items, text):
  """[N, D] float64, the trained projection of texts, centred and scaled by those of known items."""
  known = np.float64(texts()[HAS_ID])
  centred = known - known.mean(0)
  scale = np.sqrt(D / (centred**2).sum(1).mean())
  np.testing.assert_allclose(((scale * centred) ** 2).sum(1).mean(), D)
  kernel, bias = np.float64(items.project.kernel[...]), np.float64(items.project.bias[...])
  return (text - known.mean(0)) * scale @ kernel + bias


def test_an_item_is_its_text_plus_its_id(model):
  ids = np.asarray(model.items.id.embedding[...])
  for text, vectors in ((texts(), model.items()), (texts(1), model.items.learnt(texts(1)))):
    expected = projected(model.items, text) + ids
    np.testing.assert_allclose(vectors[HAS_ID], expected[HAS_ID], atol=1e-5)
  rows = np.flatnonzero(HAS_ID)[[2, 0, 2]]
  np.testing.assert_allclose(model.items.learnt(rows=rows), model.items()[rows], atol=1e-6)


def test_items_without_an_id_are_where_a_ridge_regression_on_text_places_them():
  items = random_model().items
  items.ridge[...] = jnp.float32(0.3)
  items.place_unseen()
  vectors = np.float64(items()[HAS_ID])
  known = np.float64(texts()[HAS_ID])
  centred = known - known.mean(0)
  gram = centred.T @ centred
  penalty = 0.3 * np.trace(gram) / H * np.eye(H)
  kernel = np.linalg.solve(gram + penalty, centred.T @ (vectors - vectors.mean(0)))
  expected = (texts(1) - known.mean(0)) @ kernel + vectors.mean(0)
  np.testing.assert_allclose(items.from_text(texts(1)), expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(items()[~HAS_ID], items.from_text(texts())[~HAS_ID])


def test_many_items_are_summed_and_placed_in_parts(monkeypatch):
  items = random_model().items
  items.place_unseen()
  whole, fold = items.from_text(texts(1)), jnp.arange(N) % 2
  moments = items.moments_of_folds(fold, 2)
  # The last part overlaps the one before it.
  monkeypatch.setattr(two_tower, '_ROWS', N // 2 + 1)
  for found, expected in zip(items.moments_of_folds(fold, 2), moments, strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  items.place_unseen()
  np.testing.assert_allclose(items.from_text(texts(1)), whole, rtol=1e-3, atol=1e-4)


def test_features_go_the_ways_of_the_text():
  told = np.random.default_rng(5).normal(size=(N, 3)).astype(np.float32)
  told -= told[HAS_ID].mean(0)
  items = random_model(feature_dim=3).items
  items.fill(jnp.asarray(texts()), jnp.asarray(HAS_ID), jnp.zeros(N), jnp.asarray(told))
  items.ridge[...] = jnp.float32(0.3)
  items.place_unseen()

  def design(text, features):
    centred = np.float64(text) - texts()[HAS_ID].mean(0)
    blocks = (centred, texts() - texts()[HAS_ID].mean(0)), (np.float64(features), told)
    return np.concatenate(
      [block * np.sqrt(D / (known[HAS_ID] ** 2).sum(1).mean()) for block, known in blocks],
      axis=1,
    )

  read, kernel = design(texts(), told), np.float64(items.project.kernel[...])
  vectors = read @ kernel + items.project.bias[...] + items.id.embedding[...]
  np.testing.assert_allclose(items()[HAS_ID], vectors[HAS_ID], atol=1e-5)
  known, wanted = read[HAS_ID], vectors[HAS_ID]
  gram = known.T @ known
  penalty = 0.3 * np.trace(gram) / len(gram) * np.eye(len(gram))
  fitted = np.linalg.solve(gram + penalty, known.T @ (wanted - wanted.mean(0)))
  other = told[::-1]
  for features in (other, 0 * other):
    expected = design(texts(1), features) @ fitted + wanted.mean(0)
    np.testing.assert_allclose(items.from_text(texts(1), features), expected, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(items.from_text(texts(1)), expected, rtol=1e-4, atol=1e-5)
  added = items.from_text(texts(1), other) - items.from_text(texts(1))
  np.testing.assert_allclose(other @ items.by_features(), added, rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(items()[~HAS_ID], items.from_text(texts(), told)[~HAS_ID])


def test_an_id_only_model_knows_nothing_of_text():
  items = random_model(text_dim=0).items
  ids = np.asarray(items.id.embedding[...])
  np.testing.assert_array_equal(items(), np.where(HAS_ID[:, None], ids, 0))
  with pytest.raises(ValueError, match='^an id-only model has no vectors from text$'):
    items.from_text(texts())
  assert all(np.isfinite(value).all() for value in modules.flat(items).values())


def test_texts_that_are_all_the_same_stay_finite():
  model = random_model()
  model.items.fill(jnp.ones((N, H)), jnp.asarray(HAS_ID), jnp.zeros(N))
  model.items.place_unseen()
  assert np.isfinite(model.items()).all()


def test_id_dropout_withholds_whole_vectors_in_training_only():
  items = random_model(id_dropout_rate=0.4).items
  ids = np.asarray(items.id.embedding[...])
  from_text = np.where(HAS_ID[:, None], projected(items, texts()), items.from_text(texts()))

  @jax.jit
  @jax.vmap
  def draw(key):
    return nnx.view(items, deterministic=False)(rngs=nnx.Rngs(dropout=key))

  part = np.asarray(draw(jax.random.split(jax.random.key(0), 400))) - from_text
  shown = np.abs(part).max(-1) > 1e-5
  assert not shown[:, ~HAS_ID].any()
  # What is shown is scaled up, so that the mean is that of evaluation.
  expected = shown[..., None] * ids / (1 - 0.4)
  np.testing.assert_allclose(part, expected, atol=1e-5)
  known = shown[:, HAS_ID]
  assert stats.binomtest(int(known.sum()), known.size, 0.6).pvalue > 1e-3
  assert stats.binomtest(int(known.sum()), known.size, 0.4).pvalue < 1e-9
  quiet = items(rngs=nnx.Rngs(dropout=0))
  np.testing.assert_allclose(quiet[HAS_ID], (from_text + ids)[HAS_ID], atol=1e-6)


def test_gradients_equal_finite_differences(model):
  rng = np.random.default_rng(0)
  with jax.enable_x64(True):
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    wide = jax.tree.map(lambda x: jnp.asarray(np.float64(x)), params)
    direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), wide)

    @jax.jit
    def along(step):
      moved = jax.tree.map(lambda x, d: x + step * d, wide, direction)
      return loss(nnx.merge(graphdef, moved, rest))

    slope = np.asarray((along(1e-4) - along(-1e-4)) / 2e-4)
    grads = jax.jit(jax.grad(lambda p: loss(nnx.merge(graphdef, p, rest))))(wide)
    products = jax.tree.map(lambda g, d: (g * d).sum(), grads, direction)
    expected = np.sum(jax.tree.leaves(products))
    assert slope.dtype == np.float64
  # Attention keeps its softmax in float32.
  np.testing.assert_allclose(slope, expected, rtol=1e-4)
  assert abs(expected) > 0.1


def test_who_gets_a_gradient(model):
  graphdef, params, rest = nnx.split(model, nnx.Param, ...)
  grads = modules.flat(jax.jit(jax.grad(lambda p: loss(nnx.merge(graphdef, p, rest))))(params))
  ids = grads[('items', 'id', 'embedding')]
  assert not ids[~HAS_ID].any()
  assert (np.abs(ids[HAS_ID]).max(1) > 1e-4).all()
  for path, gradient in grads.items():
    # A constant added to all logits of a query changes nothing.
    assert (np.abs(gradient).max() < 1e-4) == (path[-2:] == ('key', 'bias')), path
