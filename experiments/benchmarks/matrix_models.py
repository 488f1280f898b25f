"""iALS beside implicit, in speed and in quality, and EASE beside NumPy with LAPACK."""

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import Cases, ask_peer, benchmark, rate
from experiments.reproductions import movielens, recbole_bpr
from rec_jax.models.baselines import ease, ials
from rec_jax.models.baselines.events import Events
from rec_jax.runs.study import Study

DIM, ALPHA, RIDGE, LAMBDA, NUM_ITERATIONS = 64, 10.0, 10.0, 400.0, 20
SMALL, LARGE = 'MovieLens-100k', 'a million events'
SPEED, QUALITY = 'iALS, iterations/s', 'iALS, NDCG@10'
LAPACK = 'EASE, fits/s'


def get_study() -> Study:
  """Both models on MovieLens-100k and on generated events of ten times the number."""
  return benchmark(
    'iALS beside implicit, EASE beside NumPy',
    f'iALS: iterations/s of {DIM} factors, {NUM_ITERATIONS} iterations from events to factors with '
    'what is laid out for them, implicit by its 3 conjugate gradient steps with a thread a core; '
    f'NDCG@10 of the last tenth of the events of each user of {SMALL} after as many iterations, '
    f'alpha {ALPHA:g} and penalty {RIDGE:g} on either side, a start a repeat; EASE: fits/s from '
    'events to weights, float64 and a thread a core on either side',
    _cases,
    {'implicit 0.7.3': _implicit, 'NumPy': _numpy},
  )


@functools.cache
def _events(data: str) -> tuple[Events, np.ndarray]:
  """The events to fit, and [U, N] bool of those held out of them."""
  if data == SMALL:
    user, item = movielens.events()
  else:
    rng = np.random.default_rng(0)
    num_users, num_items, share = 6_000, 4_000, 1_000_000 / 24e6
    popularity = 1 / (20 + np.arange(num_items))
    chance = share * popularity / popularity.mean() * rng.gamma(1.0, size=(num_users, 1))
    user, item = np.nonzero(rng.random((num_users, num_items)) < chance)
  part = recbole_bpr.divide(user, np.random.default_rng(0))
  size = (int(user.max()) + 1, int(item.max()) + 1)
  held_out = np.zeros(size, bool)
  held_out[user[part == 2], item[part == 2]] = True
  kept = np.flatnonzero(part < 2)
  return Events(user[kept], item[kept], kept, *size), held_out


def _ndcg(scores: np.ndarray) -> float:
  events, held_out = _events(SMALL)
  return recbole_bpr.evaluate(scores, events.matrix.toarray() == 0, held_out)['ndcg@10']


def _cases() -> Cases:
  seeds = iter(range(1000))

  def factors(data: str, num_iterations: int = NUM_ITERATIONS) -> ials.Factors:
    return jax.block_until_ready(
      ials.fit(
        jax.random.key(next(seeds)),
        _events(data)[0],
        dim=DIM,
        alpha=ALPHA,
        regularisation=RIDGE,
        num_iterations=num_iterations,
      )
    )

  def quality() -> float:
    found = factors(SMALL)
    return _ndcg(np.asarray(found.users @ found.items.T))

  def weights(data: str) -> jax.Array:
    events = _events(data)[0]
    fitted = ease.fit(events.user, events.item, events.num_items, lambda_=LAMBDA)
    return jax.block_until_ready(fitted)

  cases = {}
  for data in (SMALL, LARGE):
    _events(data)
    run = functools.partial(factors, data)
    cases[f'{SPEED}, {data}'] = functools.partial(rate, NUM_ITERATIONS, run)
    cases[f'{LAPACK}, {data}'] = functools.partial(rate, 1, functools.partial(weights, data))
  return cases | {f'{QUALITY}, {SMALL}': quality}


def _implicit(python: str) -> Mapping[str, float]:
  found = {}
  for data in (SMALL, LARGE):
    sizes: dict[str, Any] = {
      'dim': DIM,
      'alpha': ALPHA,
      'regularisation': RIDGE,
      'num_iterations': NUM_ITERATIONS,
    }
    with tempfile.TemporaryDirectory() as directory:
      sizes |= {'events': _written(directory, data), 'factors': f'{directory}/factors.npz'}
      seed = int(np.random.default_rng().integers(2**31))
      found[f'{SPEED}, {data}'] = ask_peer(python, 'implicit_als.py', seed=seed, **sizes)
      if data == SMALL:
        with np.load(Path(directory) / 'factors.npz') as file:
          found[f'{QUALITY}, {data}'] = _ndcg(file['users'] @ file['items'].T)
  return found


def _numpy(python: str) -> Mapping[str, float]:
  found = {}
  for data in (SMALL, LARGE):
    with tempfile.TemporaryDirectory() as directory:
      path = _written(directory, data)
      found[f'{LAPACK}, {data}'] = ask_peer(python, 'numpy_ease.py', events=path, lambda_=LAMBDA)
  return found


def _written(directory: str, data: str) -> str:
  events = _events(data)[0]
  path = Path(directory) / 'events.npz'
  size = (events.num_users, events.num_items)
  np.savez(path, user=events.user, item=events.item, size=size)
  return str(path)
