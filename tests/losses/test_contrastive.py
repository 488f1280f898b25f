"""InfoNCE against its formula, row by row."""

import numpy as np

from rec_jax.losses.contrastive import info_nce


def test_equals_the_formula_in_float64():
  rng = np.random.default_rng(0)
  one, other = rng.normal(size=(2, 5, 3))
  item = np.array([0, 1, 0, 2, 3])
  is_same = item[:, None] == item[None]
  expected = []
  for row in range(5):
    shares = [
      np.exp(one[row] @ other[column] / 0.5)
      for column in range(5)
      if column == row or not is_same[row, column]
    ]
    expected.append(-np.log(np.exp(one[row] @ other[row] / 0.5) / sum(shares)))
  one, other = np.float32(one), np.float32(other)
  np.testing.assert_allclose(info_nce(one, other, 0.5, is_same), expected, rtol=1e-5)
  # Without the exception for the same item rows 0 and 2 are negatives of each other.
  naive = np.asarray(info_nce(one, other, 0.5, np.eye(5, dtype=bool)))
  assert (naive - expected > 1e-4).tolist() == [True, False, True, False, False]
