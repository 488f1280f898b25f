"""The policy that logged and the evaluated one, side by side, a chunk of rounds at a time.

Shape letters: n rounds, m rounds of a chunk, K actions, C candidates of a round, L positions.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Probabilities of the candidates of some rounds, which stay in the cache of a processor.
CHUNK_CELLS = 1 << 19


class TwoPolicies(NamedTuple):
  """What both policies do in the rounds of a log.

  Attributes:
    target: [n, C, L] evaluated policy.
    behaviour: [n, C, L] the one that logged; None where it chose uniformly.
    action: [n] int in [0, K), logged.
    position: [n] int in [0, L).
    candidates: [n, C] int, -1 where there were fewer; None where they are all K actions.
  """

  target: np.ndarray
  behaviour: np.ndarray | None
  action: np.ndarray
  position: np.ndarray
  candidates: np.ndarray | None = None


class Chunk(NamedTuple):
  """Some rounds of both policies.

  Attributes:
    rows: [m] which ones.
    offered: [m, C], or [1, C] where it is always the same, int in [0, K); any action where there
      were fewer candidates, to which both policies give nothing.
    target: [m, C] at the position of each round.
    behaviour: [m, C] likewise.
  """

  rows: np.ndarray
  offered: np.ndarray
  target: np.ndarray
  behaviour: np.ndarray


def chunks(policies: TwoPolicies, order: np.ndarray | None = None) -> Iterator[Chunk]:
  """All rounds, in an order [n] if given, as many at once as the cache holds."""
  num_rounds, num_offered = policies.target.shape[:2]
  order = np.arange(num_rounds) if order is None else order
  size = max(1, CHUNK_CELLS // num_offered)
  for start in range(0, num_rounds, size):
    rows = order[start : start + size]
    place = policies.position[rows]
    target = policies.target[rows, :, place]
    offered, held = np.arange(num_offered)[None], np.ones((1, num_offered), bool)
    if policies.candidates is not None:
      held = policies.candidates[rows] >= 0
      offered = np.maximum(policies.candidates[rows], 0)
    if policies.behaviour is None:
      behaviour = np.broadcast_to(held / held.sum(1, keepdims=True), target.shape)
    else:
      behaviour = policies.behaviour[rows, :, place] * held
    yield Chunk(rows, offered, target * held, behaviour)


def ratio(chunk: Chunk, share: np.ndarray) -> np.ndarray:
  """[m] of the two policies' sums over the candidates, weighted by shares [m, C]."""
  above, below = (np.einsum('mc,mc->m', each, share) for each in (chunk.target, chunk.behaviour))
  return above / below
