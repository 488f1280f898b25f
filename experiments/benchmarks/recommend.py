"""The time of one answer by a student with random weights, beside one read of its item vectors."""

import functools
import time
from collections.abc import Mapping

import jax
import numpy as np
from flax import nnx

from experiments.benchmarks import Cases, bandwidth, benchmark
from rec_jax.bandits import item_prior
from rec_jax.models.linear_path import LinearPath
from rec_jax.models.student import Student, StudentConfig
from rec_jax.retrieval import Recommender
from rec_jax.retrieval.catalogue import Catalogue
from rec_jax.runs.study import Study
from rec_jax.types import ItemTable

# Items, and directions of the linear path: none, and as many as the default config has.
SIZES = ((1_682, 512), (100_000, 0), (100_000, 512))
DIM, LENGTH, K = 32, 50, 10
NUM_REQUESTS, BATCH = 500, 64
QUANTILES = {'p50': 0.5, 'p99': 0.99}
# What other work on the machine changes least.
CPU, TOGETHER = 'CPU', f'{BATCH} users'
FLOOR = 'one read of the item vectors'


def get_study() -> Study:
  """Answers a second to one user, at the median and the 99th percentile, and to 64 at once."""
  return benchmark(
    'The ten best items for one user, beside one read of the item vectors',
    'one over the seconds of a call of Recommender.recommend at its median and 99th percentile, '
    f'n={NUM_REQUESTS} calls a repeat, histories of 1 to {LENGTH} items, items seen excluded, ids '
    'in and titles out; CPU: calls by second of processor time; users/s of calls with 64 users; '
    'what compiles is not counted; the floor is one read of the item vectors at the bandwidth of '
    'this machine',
    _cases,
    {FLOOR: _floor},
  )


def _labels(size: tuple[int, int]) -> dict[str, str]:
  return {name: f'N={size[0]:,}, R={size[1]}, {name}' for name in (*QUANTILES, CPU, TOGETHER)}


def _cases() -> Cases:
  cases = {}
  for size in SIZES:
    measured = _Measured(*size)
    for name, label in _labels(size).items():
      cases[label] = functools.partial(measured.rate, name)
  return cases


class _Measured:
  """The rates of one run: the first that is asked for again begins the next."""

  def __init__(self, num_items: int, rank: int):
    self._recommender = recommender(num_items, rank)
    rng = np.random.default_rng(0)
    lengths = 1 + np.arange(NUM_REQUESTS) % LENGTH
    self._histories = [
      rng.choice(num_items, length, replace=False).astype(str).tolist() for length in lengths
    ]
    self._rates: dict[str, float] = {}

  def rate(self, name: str) -> float:
    if name not in self._rates:
      self._rates = self._run()
    return self._rates.pop(name)

  def _run(self) -> dict[str, float]:
    self._recommender.recommend(self._histories[:1], K)
    seconds = []
    spent = time.process_time()
    for history in self._histories:
      begin = time.perf_counter()
      self._recommender.recommend([history], K)
      seconds.append(time.perf_counter() - begin)
    rates = {CPU: NUM_REQUESTS / (time.process_time() - spent)}
    self._recommender.recommend(self._histories[:BATCH], K)
    begin = time.perf_counter()
    self._recommender.recommend(self._histories[:BATCH], K)
    rates[TOGETHER] = BATCH / (time.perf_counter() - begin)
    return rates | {name: 1 / float(np.quantile(seconds, q)) for name, q in QUANTILES.items()}


def recommender(num_items: int, rank: int) -> Recommender:
  """One of a student with random vectors, whose items all have an id."""
  sizes = StudentConfig(
    num_items=num_items, vocab_size=8, text_length=1, dim=DIM, history_length=LENGTH
  )
  student = Student(sizes, rngs=nnx.Rngs(0))
  keys = jax.random.split(jax.random.key(0), 3)
  student.id.embedding[...] = jax.random.normal(keys[0], (num_items, DIM))
  path = LinearPath(num_items, rank)
  path.given[...] = jax.random.normal(keys[1], (num_items, rank))
  path.sought[...] = jax.random.normal(keys[2], (num_items, rank))
  student.linear = path
  ids = np.arange(num_items).astype(str)
  items = ItemTable(ids, np.char.add('item ', ids))
  prior = item_prior.of_events(np.arange(num_items), np.ones(num_items), 1, num_items)
  catalogue = Catalogue(items, prior.num_events, np.zeros(num_items, bool))
  return Recommender(nnx.view(student, deterministic=True), catalogue, prior, LENGTH)


def _floor(peers_python: str) -> Mapping[str, float]:
  del peers_python
  bytes_a_second = bandwidth()
  floors: dict[str, float] = {}
  for num_items, rank in SIZES:
    rate = bytes_a_second / (4 * num_items * (DIM + rank))
    floors |= {_labels((num_items, rank))[name]: rate for name in QUANTILES}
  return floors
