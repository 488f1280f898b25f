"""Codebooks quantise what is left over, and no two items have one id, whatever their texts are."""

import jax
import numpy as np
import pytest

from rec_jax.models.generative import semantic_ids

NUM, WIDTH, LEVELS, ENTRIES = 60, 5, 3, 4


@pytest.fixture(scope='module')
def fitted():
  """(vectors [NUM, WIDTH], codebooks)."""
  vectors = np.random.default_rng(0).normal(size=(NUM, WIDTH)).astype(np.float32)
  return vectors, np.asarray(semantic_ids.fit(jax.random.key(0), vectors, LEVELS, ENTRIES))


def by_hand(codebooks, vectors):
  """Codes and what is left over after each level, in float64."""
  residual, codes, left = vectors.astype(np.float64), [], []
  for centroids in codebooks.astype(np.float64):
    left.append((residual**2).sum(1).mean())
    nearest = ((residual[:, None] - centroids) ** 2).sum(-1).argmin(1)
    residual = residual - centroids[nearest]
    codes.append(nearest)
  return np.stack(codes, 1), np.array([*left, (residual**2).sum(1).mean()])


def test_each_level_takes_from_the_error(fitted):
  vectors, codebooks = fitted
  _, left = semantic_ids.encode(codebooks, vectors)
  assert left.shape == (LEVELS + 1,)
  assert (np.diff(left) < -0.1 * left[:-1]).all(), left


def test_codes_of_new_items_are_the_nearest_entries(fitted):
  _, codebooks = fitted
  new = np.random.default_rng(1).normal(size=(NUM, WIDTH)).astype(np.float32)
  codes, left = semantic_ids.encode(codebooks, new)
  wanted, left_by_hand = by_hand(codebooks, new)
  np.testing.assert_array_equal(codes, wanted)
  np.testing.assert_allclose(left, left_by_hand, rtol=1e-5)


def test_entries_are_the_means_of_what_they_stand_for(fitted):
  """Lloyd's iterations have come to rest."""
  vectors, codebooks = fitted
  first = by_hand(codebooks[:1], vectors)[0][:, 0]
  means = np.stack([vectors[first == entry].mean(0) for entry in range(ENTRIES)])
  np.testing.assert_allclose(codebooks[0], means, atol=1e-5)


def test_clusters_far_apart_have_an_entry_each():
  rng = np.random.default_rng(0)
  cluster = np.arange(NUM) % ENTRIES
  vectors = 100 * np.eye(ENTRIES, WIDTH)[cluster] + rng.normal(size=(NUM, WIDTH))
  for seed in range(3):
    codebooks = semantic_ids.fit(jax.random.key(seed), vectors, LEVELS, ENTRIES)
    first = semantic_ids.encode(codebooks, vectors)[0][:, 0]
    assert len(set(zip(first.tolist(), cluster.tolist(), strict=True))) == ENTRIES


def test_items_with_the_same_codes_are_told_apart_the_known_ones_first():
  codes = np.array([[1, 0], [0, 2], [1, 0], [0, 2], [1, 0]])
  known = np.array([False, True, True, True, True])
  ids = semantic_ids.unique(codes, 3, known)
  assert ids.tokens.tolist() == [[1, 0, 2], [0, 2, 0], [1, 0, 0], [0, 2, 1], [1, 0, 1]]
  assert ids.sizes == (3, 3, 3)


@pytest.mark.parametrize('number', [1, 7])
def test_any_number_of_items_has_ids_also_where_all_texts_are_the_same(number):
  same = np.ones((number, 3), np.float32)
  different = np.arange(number * 3, dtype=np.float32).reshape(number, 3)
  known = np.arange(number) < max(1, number - 1)
  for vectors in (same, different):
    ids = semantic_ids.make(jax.random.key(0), vectors, known)
    assert len(np.unique(ids.tokens, axis=0)) == number
    assert (ids.tokens < ids.sizes).all() and (ids.tokens >= 0).all()
    if vectors is same:
      assert ids.tokens[:, -1].tolist() == [*range(number)]


def test_new_items_change_no_id_of_known_ones(fitted):
  vectors, _ = fitted
  known = np.arange(NUM) % 3 > 0
  whole = semantic_ids.make(jax.random.key(0), vectors, known)
  alone = semantic_ids.make(jax.random.key(0), vectors[known], np.ones(known.sum(), bool))
  np.testing.assert_array_equal(whole.tokens[known], alone.tokens)


@pytest.mark.parametrize('number', [1, 2, 5, 100, 10_000, 10**6])
def test_codebooks_name_more_than_all_items(number):
  levels, entries = semantic_ids.shape_of_codebooks(number)
  assert entries <= min(max(2 * number, 1), 256)
  assert entries**levels >= number**1.5
