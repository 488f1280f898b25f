"""The 100,000 ratings of MovieLens as reproductions divide them."""

import functools

import numpy as np

from rec_jax.data import sources

NUM_EVENTS = 100_000


@functools.cache
def events() -> tuple[np.ndarray, np.ndarray]:
  """Users [E] in [0, 943) and items [E] in [0, 1682) of all ratings, in the order of the source."""
  frame = sources.movielens().interactions
  user, item = (frame[name].to_numpy() for name in ('user_id', 'item_id'))
  return np.unique(user, return_inverse=True)[1], np.unique(item, return_inverse=True)[1]
