"""Crop, mask and reorder of histories (Xie et al. 2022, CL4SRec, section 3.3), a batch at once.

Each history draws its own share, uniform up to a maximum.
"""

import numpy as np


def crop(
  rng: np.random.Generator, lengths: np.ndarray, max_rate: float
) -> tuple[np.ndarray, np.ndarray]:
  """A stretch of each history, anywhere in it.

  Args:
    rng: generator.
    lengths: [B] events of each history, 1 or more.
    max_rate: share of a history that is cut off, at most; one event stays at least.

  Returns:
    start [B] and length [B] of the stretches.
  """
  cut = np.floor(rng.uniform(0, max_rate, len(lengths)) * lengths).astype(int)
  cut = np.minimum(cut, lengths - 1)
  return rng.integers(0, cut, endpoint=True), lengths - cut


def reorder(
  rng: np.random.Generator, lengths: np.ndarray, width: int, max_rate: float
) -> np.ndarray:
  """Orders in which a stretch of each history is shuffled.

  Args:
    rng: generator.
    lengths: [B] events of each history, at most `width`.
    width: L.
    max_rate: share of a history that is shuffled, at most.

  Returns:
    [B, L] permutations of 0 ... L - 1.
  """
  size = np.floor(rng.uniform(0, max_rate, len(lengths)) * lengths).astype(int)
  start = rng.integers(0, lengths - size, endpoint=True)[:, None]
  place = np.arange(width)
  inside = (place >= start) & (place < start + size[:, None])
  # Within the stretch keys are at random between its ends, so that sorting leaves it in its place.
  drawn = start + size[:, None] * rng.random((len(lengths), width))
  return np.argsort(np.where(inside, drawn, place), axis=1, kind='stable')


def hide(rng: np.random.Generator, lengths: np.ndarray, width: int, max_rate: float) -> np.ndarray:
  """[B, L] bool, events that are not to be read; the share of a history is `max_rate` at most.

  Arguments as those of `reorder`.
  """
  size = np.floor(rng.uniform(0, max_rate, len(lengths)) * lengths).astype(int)
  drawn = np.where(np.arange(width) < lengths[:, None], rng.random((len(lengths), width)), 2.0)
  return np.argsort(np.argsort(drawn, axis=1), axis=1) < size[:, None]
