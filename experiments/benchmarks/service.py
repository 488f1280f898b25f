"""Latency of a service: one decision and one outcome at a time, with every check on."""

import functools
import time
from collections.abc import Callable

import numpy as np

from experiments.benchmarks import Cases, Peer, ask_peer, benchmark
from rec_jax.bandits.host import Service
from rec_jax.runs.study import Study

DIM = 32
# Arms -> rounds of ours, and of the peers.
SIZES = {100: (2_000, 300), 10_000: (500, 30)}
POLICIES = {'per arm': 'disjoint_lin_ucb', 'shared': 'lin_squarecb'}


def get_study() -> Study:
  """LinUCB with a regression an arm and SquareCB with one for all, at K = 100 and 10,000."""
  return benchmark(
    'A decision and an outcome at a time, beside MABWiser and Vowpal Wabbit',
    f'calls/s as one over the time of one call at its median and its 99th percentile, d={DIM}; '
    'no journal; all arms at each decision; MABWiser and ours with a regression an arm, Vowpal '
    'Wabbit and ours with one for all',
    _cases,
    {
      'mabwiser 2.7.4': _ask('mabwiser', 'per arm'),
      'vowpalwabbit 9.11.9': _ask('vowpal', 'shared'),
    },
  )


def _label(what: str, kind: str, num_arms: int, quantile: str) -> str:
  return f'{what}, {kind}, K={num_arms:,}, {quantile}'


def _labelled(kind: str, num_arms: int, table: np.ndarray) -> dict[str, float]:
  """Rates of [quantiles, decide and learn] seconds."""
  return {
    _label(what, kind, num_arms, quantile): 1 / float(table[i, j])
    for i, quantile in enumerate(('p50', 'p99'))
    for j, what in enumerate(('decide', 'learn'))
  }


def _ask(peer: str, kind: str) -> Peer:
  def ask(python: str) -> dict[str, float]:
    rates: dict[str, float] = {}
    for num_arms, (_, num_rounds) in SIZES.items():
      sizes = {'num_arms': num_arms, 'dim': DIM, 'num_rounds': num_rounds}
      rates |= _labelled(
        kind, num_arms, np.array(ask_peer(python, 'latency.py', peer=peer, **sizes))
      )
    return rates

  return ask


def _cases() -> Cases:
  cases: dict[str, Callable[[], float]] = {}
  for kind, policy in POLICIES.items():
    for num_arms, (num_rounds, _) in SIZES.items():
      measured = _Measured(policy, kind, num_arms, num_rounds)
      for what in ('decide', 'learn'):
        for quantile in ('p50', 'p99'):
          label = _label(what, kind, num_arms, quantile)
          cases[label] = functools.partial(measured.rate, label)
  return cases


class _Measured:
  """The four rates of one run: the first that is asked for again begins the next."""

  def __init__(self, policy: str, kind: str, num_arms: int, num_rounds: int):
    rng = np.random.default_rng(0)
    self._service = Service(policy, arm_dim=DIM, query_dim=DIM)
    self._service.add_arms(range(num_arms), rng.normal(size=(num_arms, DIM)) / np.sqrt(DIM))
    self._queries = rng.normal(size=(num_rounds, DIM)).astype(np.float32)
    self._labels = kind, num_arms
    self._rates: dict[str, float] = {}

  def rate(self, label: str) -> float:
    if label not in self._rates:
      self._rates = _labelled(*self._labels, self._run())
    return self._rates.pop(label)

  def _run(self) -> np.ndarray:
    """[2, 2] seconds: median and 99th percentile of a decision and of an outcome."""
    times = []
    for query in self._queries:
      start = time.perf_counter()
      choice = self._service.decide(query=query)
      chosen = time.perf_counter()
      self._service.learn([choice.decision], [1.0])
      times.append((chosen - start, time.perf_counter() - chosen))
    return np.quantile(times[len(times) // 10 :], [0.5, 0.99], axis=0)
