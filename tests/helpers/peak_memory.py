"""The peak memory of a rollout beside what its program says, in a process of its own.

`python -m tests.helpers.peak_memory NAME` prints both in bytes.
"""

import ctypes
import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.environments import rollout
from rec_jax.environments.catalogue import catalogue_data
from rec_jax.environments.one_round import Options, Start
from rec_jax.environments.visits import visit_environment, visit_spec
from rec_jax.studies.sweep import worlds
from rec_jax.studies.sweep.config import (
  CascadeConfig,
  KArmedConfig,
  LinearConfig,
  LogisticConfig,
  NeuralConfig,
)

_ARMS = LinearConfig(num_arms=50, dim=32)
# Name -> world, policy, S, T and other options of the rollout.
CASES = {
  'shared linear': (_ARMS, 'lin_ts', 4_000, 20, {}),
  'disjoint': (LinearConfig(num_arms=50, dim=16), 'disjoint_lin_ucb', 1_000, 20, {}),
  'hybrid': (LinearConfig(num_arms=20, dim=8), 'hybrid_lin_ucb', 1_000, 20, {}),
  'network': (
    NeuralConfig(num_arms=20, dim=16),
    'neural_linear_ts',
    200,
    20,
    {'refresh_every': 10},
  ),
  'matrix factorisation': (
    LinearConfig(num_arms=500, dim=4),
    'matrix_factorisation_ts',
    1_000,
    20,
    {},
  ),
  'Gaussian process': (LinearConfig(num_arms=20, dim=8), 'gp_ts', 500, 20, {}),
  'propensities': (_ARMS, 'lin_ts', 1_000, 10, {'record_log': True}),
  'slate': (CascadeConfig(num_arms=200, slate_size=5), 'ucb1', 10_000, 100, {}),
  'visits': (None, 'per_user_lin_ucb', 100, 200, {}),
  'many seeds, short': (KArmedConfig(num_arms=50), 'popularity_greedy', 50_000, 10, {}),
  'one seed, long': (LogisticConfig(num_arms=5, dim=2), 'uniform', 1, 3_000_000, {}),
}


def main(name: str) -> None:
  """Prints {'program': bytes, 'peak': bytes}."""
  config, policy, num_seeds, num_rounds, own = CASES[name]
  environment, data, spec = _visits() if config is None else worlds.build(config)[:3]
  data = jax.tree.map(jnp.asarray, data)
  options = Options(
    policy=bandits.make(policy),
    environment=environment,
    spec=spec,
    num_rounds=num_rounds,
    record_log=own.get('record_log', False),
    return_state=False,
    refresh_every=own.get('refresh_every', 0),
  )
  start = Start(jax.random.split(jax.random.key(0), num_seeds), None, None, None)
  program = rollout.program_bytes(options, data, start, num_seeds)
  first_round = jnp.int32(0)
  jax.block_until_ready((data, start, first_round))
  # What compilation has freed goes back, and the peak begins anew.
  ctypes.CDLL('libc.so.6').malloc_trim(0)
  Path('/proc/self/clear_refs').write_text('5')
  before = _status('VmRSS')
  jax.block_until_ready(rollout._run(options, data, first_round, start))
  print(json.dumps({'program': program, 'peak': _status('VmHWM') - before}))


def _visits():
  rng = np.random.default_rng(0)
  num_users, num_items = 400, 1_500
  pairs = rng.permutation(num_users * num_items)[:20_000]
  features = rng.normal(size=(num_items, 16)).astype(np.float32)
  reward = rng.integers(2, size=len(pairs)).astype(np.float32)
  data = catalogue_data(pairs // num_items, pairs % num_items, reward, 5_000, features)
  return visit_environment(), data, visit_spec(data)


def _status(name: str) -> int:
  return 1024 * int(re.search(rf'{name}:\s+(\d+)', Path('/proc/self/status').read_text())[1])


if __name__ == '__main__':
  main(sys.argv[1])
