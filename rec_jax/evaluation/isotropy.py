"""How well a set of vectors uses its space: what is left to tell one from another."""

import numpy as np
import scipy.special
from jax.typing import ArrayLike


def mean_cosine(vectors: ArrayLike) -> float:
  """The mean cosine of two different rows of `vectors` [N, D], N >= 2; 1 where all point one way.

  Contextual vectors share a large part that says nothing (Ethayarajh 2019).

  Raises:
    ValueError: there are fewer than two vectors.
  """
  unit = np.asarray(vectors, np.float64)
  if len(unit) < 2:
    raise ValueError(f'{len(unit)} vectors have no pair')
  unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
  total, number = np.sum(unit.sum(0) ** 2), len(unit)
  return float((total - np.sum(unit**2)) / (number * (number - 1)))


def effective_rank(vectors: ArrayLike) -> float:
  """Directions in which rows of `vectors` [N, D] differ from their mean, 1 to min(N - 1, D).

  The exponential of the entropy of the shares of the squared singular values (Roy & Vetterli 2007);
  0 where all rows are the same.
  """
  rows = np.asarray(vectors, np.float64)
  energy = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
  # What rounding of the mean leaves of rows that are all the same is no difference.
  if energy.sum() <= 1e-20 * np.sum(rows**2):
    return 0.0
  return float(np.exp(scipy.special.entr(energy / energy.sum()).sum()))
