"""Latency of a service: one decision and one outcome at a time, with every check on."""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import Cases, Peer, ask_peer, benchmark
from rec_jax import bandits
from rec_jax.bandits.host import Service, programs
from rec_jax.runs.study import Study
from rec_jax.types import ArmSpec, Feedback

DIM = 32
# Arms -> rounds of ours, and of the peers.
SIZES = {100: (2_000, 300), 10_000: (500, 30)}
MANY_ARMS, NUM_UPDATES = 20_000, 50
IN_PLACE = f'update alone, per arm, K={MANY_ARMS:,}, p50'
POLICIES = {'per arm': 'disjoint_lin_ucb', 'shared': 'lin_squarecb'}


def get_study() -> Study:
  """LinUCB with a regression an arm and SquareCB with one for all, at K = 100 and 10,000."""
  return benchmark(
    'A decision and an outcome at a time, beside MABWiser and Vowpal Wabbit',
    f'calls/s as one over the time of one call at its median and its 99th percentile, d={DIM}; '
    'no journal; all arms at each decision, by their ids where they are named; MABWiser and ours '
    'with a regression an arm, Vowpal Wabbit and ours with one for all',
    _cases,
    {
      'mabwiser 2.7.4': _ask('mabwiser', 'per arm'),
      'vowpalwabbit 9.11.9': _ask('vowpal', 'shared'),
      'the same program, its state not donated': lambda python: {IN_PLACE: _copying()()},
      'the same decisions, unchecked': lambda python: {
        label: paired.rate(False) for label, paired in _paired().items()
      },
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
  for label, paired in _paired().items():
    cases[label] = functools.partial(paired.rate, True)
  return cases | {IN_PLACE: functools.partial(_update_rate, programs.update)}


@functools.cache
def _paired() -> dict[str, '_Paired']:
  """Decisions among all arms and among arms that are named, every one of them."""
  found = {}
  for kind, policy in POLICIES.items():
    for num_arms, (num_rounds, _) in SIZES.items():
      service, queries = _service(policy, num_arms, num_rounds // 4)
      for what, arms in (('all', None), ('named', list(range(num_arms)))):
        label = _label(f'decide among {what} arms', kind, num_arms, 'p50')
        found[label] = _Paired(service, queries, arms)
  return found


class _Paired:
  """Two rates of one run, in which decisions with and without checks take turns.

  Of a check of microseconds nothing else would be seen beside other work on the machine.
  """

  def __init__(self, service: Service, queries: np.ndarray, arms: list[int] | None):
    self._service, self._queries, self._arms = service, queries, arms
    self._rates: dict[bool, float] = {}

  def rate(self, is_checked: bool) -> float:
    if is_checked not in self._rates:
      self._rates = self._run()
    return self._rates.pop(is_checked)

  def _run(self) -> dict[bool, float]:
    times: dict[bool, list[float]] = {True: [], False: []}
    for query in self._queries:
      for is_checked, decide in ((True, self._decide), (False, self._decide_unchecked)):
        start = time.perf_counter()
        decide(query)
        times[is_checked].append(time.perf_counter() - start)
    return {is_checked: 1 / float(np.median(each)) for is_checked, each in times.items()}

  def _decide(self, query: np.ndarray) -> None:
    self._service.decide(query=query, arms=self._arms)

  def _decide_unchecked(self, query: np.ndarray) -> None:
    """What `decide` does for input that is known to be right."""
    engine = self._service._engine
    rows = None if self._arms is None else engine.arms.rows(self._arms)
    context = engine.context(engine.users.of[0], query, rows, None)
    engine.apply(engine.decision_event(context, engine.decide(context, False)))


def _service(policy: str, num_arms: int, num_rounds: int) -> tuple[Service, np.ndarray]:
  """A service that knows user 0, and the queries [T, D] of its decisions."""
  rng = np.random.default_rng(0)
  service = Service(policy, arm_dim=DIM, query_dim=DIM)
  service.add_arms(range(num_arms), rng.normal(size=(num_arms, DIM)) / np.sqrt(DIM))
  queries = rng.normal(size=(num_rounds, DIM)).astype(np.float32)
  service.decide(query=queries[0])
  return service, queries


@functools.cache
def _copying() -> Callable[[], float]:
  """The rate of an update that leaves the old state as it was, compiled."""
  update = jax.jit(inspect.unwrap(programs.update), static_argnames='policy')
  _update_rate(update)
  return functools.partial(_update_rate, update)


def _update_rate(update: Callable[..., Any]) -> float:
  """One over the median seconds of an outcome, waiting until the state is written."""
  spec = ArmSpec(MANY_ARMS, MANY_ARMS, DIM, DIM)
  policy = bandits.make(POLICIES['per arm'])
  state = programs.init(policy, spec, np.uint32(0))
  ones = jnp.ones(1)
  feedback = Feedback(
    user_id=jnp.zeros(1, jnp.int32),
    query=jnp.ones((1, DIM)),
    features=jnp.ones((1, DIM)),
    arm_id=jnp.zeros(1, jnp.int32),
    propensity=ones,
    reward=ones,
    weight=ones,
    info=None,
  )
  times = []
  for tick in range(NUM_UPDATES):
    jax.block_until_ready(state)
    start = time.perf_counter()
    state = update(policy, programs.Clock(np.uint32(0), np.uint32(tick)), state, feedback)
    jax.block_until_ready(state)
    times.append(time.perf_counter() - start)
  return 1 / float(np.median(times))


class _Measured:
  """The four rates of one run: the first that is asked for again begins the next."""

  def __init__(self, policy: str, kind: str, num_arms: int, num_rounds: int):
    self._service, self._queries = _service(policy, num_arms, num_rounds)
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
