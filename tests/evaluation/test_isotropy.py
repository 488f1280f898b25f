"""Isotropy against its definitions, on vectors whose spread is known."""

import numpy as np
import pytest

from rec_jax.evaluation import isotropy


def test_the_mean_cosine_is_that_of_all_pairs():
  vectors = np.random.default_rng(0).normal(size=(7, 3)) + 1
  unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
  pairs = [unit[i] @ unit[j] for i in range(7) for j in range(i)]
  assert isotropy.mean_cosine(vectors) == pytest.approx(np.mean(pairs))


def test_vectors_along_few_directions_have_a_low_rank():
  rng = np.random.default_rng(1)
  wide = rng.normal(size=(5_000, 8)) + 3
  assert isotropy.effective_rank(wide) == pytest.approx(8, abs=0.02)
  assert isotropy.effective_rank(wide @ np.diag([1, 1, 0, 0, 0, 0, 0, 0])) == pytest.approx(2, 1e-2)
  for scale in (1e-12, 1e12):
    assert isotropy.effective_rank(scale * wide) == pytest.approx(isotropy.effective_rank(wide))
  energy = np.array([3.0, 1.0])
  two = np.diag(np.sqrt(energy)) @ np.array([[1, -1, 0, 0], [0, 0, 1, -1.0]])
  share = energy / 4
  assert isotropy.effective_rank(two.T) == pytest.approx(np.exp(-share @ np.log(share)))


def test_vectors_that_are_all_the_same_have_no_direction():
  same = np.ones((5, 3))
  for value in (0.0, 0.1, 1.0, 1e9):
    assert isotropy.effective_rank(value * same) == 0
  assert isotropy.mean_cosine(same) == pytest.approx(1)
  with pytest.raises(ValueError, match='1 vectors have no pair'):
    isotropy.mean_cosine(same[:1])


def test_a_direction_too_short_to_count_is_none():
  vectors = np.array([[1e4, -1e4, 0, 0], [0, 0, 1e-160, -1e-160]]).T
  assert isotropy.effective_rank(vectors) == pytest.approx(1)
