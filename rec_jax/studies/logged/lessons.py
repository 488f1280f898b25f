"""Which rounds of a log taught a policy: recognised by what they hold, wherever they stand.

A round is known by its user, item, position, reward and context, in single precision, so that a
log may be cut, filtered, appended to, renumbered or written again, with or without propensities.
Where rounds are too alike to be told apart by themselves, as without a context, windows of
consecutive rounds are; such a log is recognised in pieces of a window or more.

Shape letters: n rounds, m windows.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback

# Share of windows that may be the same as another one of the log.
_MOST_ALIKE = 1e-3
# Odd numbers whose bits are far from any pattern: those of SplitMix64 (Steele et al. 2014).
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Lessons(NamedTuple):
  """The rounds that taught a policy.

  Attributes:
    window: how many consecutive rounds a hash is of, a power of two.
    hashes: [m] uint64, sorted, each once.
  """

  window: int
  hashes: np.ndarray


def of(log: LoggedFeedback) -> Lessons:
  """All rounds of a log, by the fewest consecutive ones that tell its places apart."""
  hashes, window = _rounds(log), 1
  while True:
    known = np.unique(hashes)
    if len(known) >= (1 - _MOST_ALIKE) * len(hashes) or 2 * window > len(log.action):
      return Lessons(window, known)
    hashes, window = _joined(hashes, window), 2 * window


def taught(lessons: Lessons, log: LoggedFeedback) -> np.ndarray:
  """[n] bool, which rounds of a log are among the lessons."""
  found = np.zeros(len(log.action), bool)
  if len(found) < lessons.window:
    return found
  hashes, window = _rounds(log), 1
  while window < lessons.window:
    hashes, window = _joined(hashes, window), 2 * window
  starts = np.flatnonzero(np.isin(hashes, lessons.hashes))
  # A round is known if any window that holds it is.
  edges = np.bincount(starts, minlength=len(found) + 1)
  edges -= np.bincount(starts + window, minlength=len(found) + 1)
  return np.cumsum(edges)[: len(found)] > 0


def _rounds(log: LoggedFeedback) -> np.ndarray:
  """[n] uint64 of each round."""
  columns = [_text(log.user_id), _text(log.item_ids)[log.action], log.position.astype(np.uint64)]
  columns.append(_bits(log.reward))
  if log.context is not None:
    columns += [_bits(column) for column in np.asarray(log.context).T]
  found = np.zeros(len(log.action), np.uint64)
  for column in columns:
    found = _mixed(found * np.uint64(_STEP) + column)
  return found


def _joined(hashes: np.ndarray, window: int) -> np.ndarray:
  """Hashes of windows twice as long, by their starts."""
  return _mixed(hashes[:-window] * np.uint64(_STEP) + hashes[window:])


def _text(values: np.ndarray) -> np.ndarray:
  """uint64 of each string."""
  texts, index = np.unique(values, return_inverse=True)
  digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts.tolist()]
  return np.frombuffer(b''.join(digests), '<u8')[index]


def _bits(values: np.ndarray) -> np.ndarray:
  """uint64 of each number in single precision, the same for 0 and -0."""
  return (np.asarray(values, np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)


def _mixed(values: np.ndarray) -> np.ndarray:
  """Every bit of the input changes half of those of the output."""
  values = (values + np.uint64(_STEP)).astype(np.uint64)
  values = (values ^ (values >> np.uint64(30))) * np.uint64(_FIRST)
  values = (values ^ (values >> np.uint64(27))) * np.uint64(_SECOND)
  return values ^ (values >> np.uint64(31))
