"""Which rounds of a log taught a policy: recognised by what they hold, wherever they stand.

A round is known by its user, item, position, reward and context, in single precision, so that a
log may be cut, filtered, appended to, renumbered or written again, with or without propensities.
Where rounds are too alike to be told apart by themselves, as without a context, they are known in
two ways:

- By their numbers, where every round with the number of one that taught holds the same as that one.
  A log of which rounds were left out and which kept its numbers agrees with what taught throughout,
  one that was numbered anew or is of other rounds nowhere near so.
- By windows of consecutive rounds, in a log that was numbered anew. Pieces of a window or more are
  known; of rounds left out here and there the rest may not be, which is warned of.

Either judges many rounds at once, by where they stand. Leaving out as many equal rounds as taught
would need no order, and be wrong: where the log does not hold all that taught, rounds that did not
go with them, the more the oftener their item and reward were among the lessons. That is to choose
by the reward, for which the estimate of what was learnt from these rewards would be too low.

Shape letters: n rounds, m windows, t rounds that taught.
"""

import hashlib
import logging
from typing import NamedTuple

import numpy as np

from rec_jax.data.logged_feedback import LoggedFeedback

logger = logging.getLogger(__name__)

# Share of the lessons that a log of other rounds may seem to hold.
_BY_CHANCE = 0.1
# Share of windows that may be the same as another one of the log.
_MOST_ALIKE = 1e-3
# Odd numbers whose bits are far from any pattern: those of SplitMix64 (Steele et al. 2014).
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


class Lessons(NamedTuple):
  """The rounds that taught a policy.

  Attributes:
    window: how many consecutive rounds a hash is of, a power of two.
    hashes: [m] uint64, sorted, each once.
    numbers: [t] int64 of the rounds, ascending; none where a round is known by itself.
    contents: [t] uint64 of the same rounds.
  """

  window: int
  hashes: np.ndarray
  numbers: np.ndarray
  contents: np.ndarray


def of(log: LoggedFeedback) -> Lessons:
  """All rounds of a log, by the fewest consecutive ones that tell its places apart."""
  contents = _rounds(log)
  hashes, window = contents, 1
  while True:
    known = np.unique(hashes)
    if len(known) >= (1 - _MOST_ALIKE) * len(hashes) or 2 * window > len(log.action):
      kept = slice(0 if window == 1 else None)
      return Lessons(window, known, log.round[kept], contents[kept])
    hashes, window = _joined(hashes, window), 2 * window


def taught(lessons: Lessons, log: LoggedFeedback) -> np.ndarray:
  """[n] bool, which rounds of a log are among the lessons."""
  contents = _rounds(log)
  found = _in_windows(lessons, contents)
  place = np.searchsorted(lessons.numbers, log.round)
  numbered = np.isin(log.round, lessons.numbers)
  agree = (contents[numbered] == lessons.contents[place[numbered]]).all()
  # Some windows of another log are those of this one by chance.
  if agree and (numbered.any() or found.sum() < _BY_CHANCE * len(lessons.numbers)):
    return found | numbered
  if found.sum() < len(lessons.numbers):
    logger.warning(
      'of the %s rounds that taught the policy %s are recognised in the log, in which rounds are '
      'too alike to be known by themselves; if it holds others, left after rows were taken out and '
      'the rest numbered anew, they judge what they taught: keep the numbers of the rounds',
      f'{len(lessons.numbers):,}',
      f'{found.sum():,}',
    )
  return found


def _in_windows(lessons: Lessons, contents: np.ndarray) -> np.ndarray:
  """[n] bool, which rounds are in a window of the lessons, of contents [n]."""
  if len(contents) < lessons.window:
    return np.zeros(len(contents), bool)
  hashes, window = contents, 1
  while window < lessons.window:
    hashes, window = _joined(hashes, window), 2 * window
  starts = np.flatnonzero(np.isin(hashes, lessons.hashes))
  # A round is known if any window that holds it is.
  edges = np.bincount(starts, minlength=len(contents) + 1)
  edges -= np.bincount(starts + window, minlength=len(contents) + 1)
  return np.cumsum(edges)[: len(contents)] > 0


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
