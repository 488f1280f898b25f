"""PureSVD: truncated singular vectors of the event matrix (Cremonesi, Koren & Turrin 2010)."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events


def fit(key: jax.Array, events: Events, *, dim: int) -> jax.Array:
  """The right singular vectors of the largest singular values, missing events counting as 0.

  By Lanczos on the host in float64, which takes 8 N dim bytes and the events.

  Args:
    key: typed key, of the vector that Lanczos starts from.
    events: [U, N] as a sparse matrix.
    dim: D; of more than min(U, N) there are as many.

  Returns:
    [N, D] float32, orthonormal columns, the largest singular value first.

  Raises:
    ValueError: if `dim` is no count.
  """
  if dim < 1:
    raise ValueError(f'dim={dim} is not 1 or more')
  most = min(events.num_users, events.num_items)
  if dim >= most:
    # Lanczos finds all but one.
    vectors = np.linalg.svd(events.matrix.toarray(), full_matrices=False)[2].T
  else:
    start = np.asarray(jax.random.normal(key, (most,)), np.float64)
    _, values, rows = scipy.sparse.linalg.svds(
      events.matrix, dim, v0=start, return_singular_vectors='vh'
    )
    vectors = rows[np.argsort(-values)].T
  return jnp.asarray(vectors, jnp.float32)


def scores(vectors: ArrayLike, histories: ArrayLike) -> jax.Array:
  """The history projected on the singular vectors, equation 13: r Q Q'.

  A user who was not fitted is folded in by the same product.

  Args:
    vectors: Q [N, D] from `fit`.
    histories: [B, L] int, item indices shifted by 1; 0 is padding.

  Returns:
    [B, N] float32.
  """
  vectors = jnp.asarray(vectors)
  return ease.recency_weights(jnp.asarray(histories), 1.0, len(vectors)) @ vectors @ vectors.T
