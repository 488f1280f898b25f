"""Full-ranking metrics of a large catalogue, beside libraries of metrics that read the ten best."""

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.benchmarks import Cases, Peer, ask_peer, benchmark, rate
from rec_jax.evaluation import catalogue_ranking
from rec_jax.runs.study import Study

DIM, TARGETS, SEEN, CUTOFF = 64, 5, 30, 10
PEERS = {
  'RecTools 0.19.0': 'rectools',
  'ranx 0.3.21': 'ranx',
  'pytrec_eval-terrier 0.5.11': 'pytrec_eval',
}


class Size(NamedTuple):
  """Users and items of a case."""

  num_users: int
  num_items: int


CASES = {
  '10,000 users, 5,000 items': Size(10_000, 5_000),
  '100,000 users, 50,000 items': Size(100_000, 50_000),
}


def get_study() -> Study:
  """Recall, precision, NDCG, MRR, MAP and hit at 10 of made-up vectors."""
  return benchmark(
    'Full-ranking metrics of a catalogue, beside NumPy and libraries of metrics',
    f'users/s; dot products of {DIM} dimensions, {SEEN} seen items and {TARGETS} targets a user; '
    'from vectors to recall, precision, NDCG, MRR, MAP and hit at 10 of each user; the peers get '
    'the ten best by a matrix product of NumPy, a thread a core, and argpartition over parts of '
    '256 users',
    _cases,
    {label: _peer(peer) for label, peer in PEERS.items()},
  )


def _cases() -> Cases:
  def run(size: Size) -> float:
    arrays = made_up(size)
    return rate(size.num_users, lambda: evaluate(arrays))

  found: dict[str, Callable[[], float]] = {
    label: functools.partial(run, size) for label, size in CASES.items()
  }
  return found


def evaluate(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
  """What is measured: all metrics of each user."""
  users, items, targets, seen = (arrays[name] for name in ('users', 'items', 'targets', 'seen'))
  offsets = np.arange(len(users) + 1) * SEEN
  ranked = catalogue_ranking.rank(users, items, targets, offsets, seen.ravel(), (CUTOFF,))
  return ranked.metrics


def made_up(size: Size) -> dict[str, np.ndarray]:
  """Vectors, targets and seen items, different within a user."""
  rng = np.random.default_rng(0)
  drawn = rng.integers(size.num_items // (TARGETS + SEEN), size=(size.num_users, TARGETS + SEEN))
  drawn = drawn * (TARGETS + SEEN) + rng.permutation(TARGETS + SEEN)
  return {
    'users': rng.normal(size=(size.num_users, DIM)).astype(np.float32),
    'items': rng.normal(size=(size.num_items, DIM)).astype(np.float32),
    'targets': drawn[:, :TARGETS],
    'seen': drawn[:, TARGETS:],
  }


def _peer(peer: str) -> Peer:
  def measure(python: str) -> Mapping[str, float]:
    found = {}
    for label, size in CASES.items():
      with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'arrays.npz'
        arrays = made_up(size)
        np.savez(
          path,
          users=arrays['users'],
          items=arrays['items'],
          targets=arrays['targets'],
          seen=arrays['seen'],
        )
        found[label] = float(
          ask_peer(python, 'full_ranking.py', peer=peer, arrays=str(path), cutoff=CUTOFF)['rate']
        )
    return found

  return measure
