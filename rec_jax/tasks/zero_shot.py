"""Retrieval by text alone: what an encoder is worth before any recommender is trained on it.

An item lies where its text does, once what all texts share is taken off, and a user where the items
of the history lie, recent ones more.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease

# What an event counts less for each one after it, where nothing is there to tune it by.
DECAY = 0.9


def directions(vectors: np.ndarray, known: np.ndarray) -> jax.Array:
  """[N, H] unit vectors, of text vectors [N, H] less the mean of those that `known` [N] marks."""
  centred = jnp.asarray(vectors) - jnp.asarray(vectors)[jnp.asarray(known)].mean(0)
  return centred / jnp.maximum(jnp.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def scores(directions: ArrayLike, histories: ArrayLike, *, decay: ArrayLike = DECAY) -> jax.Array:
  """[B, N], the cosine of each item to each event of a history, summed with what the event counts.

  Args:
    directions: [N, H] from `directions`.
    histories: [B, L] int, oldest first, item indices shifted by 1; 0 is padding, on either side.
    decay: [] in (0, 1], an event counts decay^age with age 0 for the latest.
  """
  directions = jnp.asarray(directions)
  weights = ease.recency_weights(jnp.asarray(histories), decay, len(directions))
  return weights @ directions @ directions.T
