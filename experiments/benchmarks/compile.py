"""How long each belief takes to compile with each explorer, as a rollout of one seed."""

import time

import jax

from experiments.benchmarks import Row, streams
from rec_jax import bandits
from rec_jax.bandits.policy import combine
from rec_jax.training.tracking import progress
from rec_jax.types import ArmSpec

DESCRIPTION = 'seconds to compile, every belief with every explorer; the limit is 10'
LIMIT = 10.0
BELIEFS = (
  bandits.beta_bernoulli,
  bandits.dropout,
  bandits.ensemble,
  bandits.epinet,
  bandits.gaussian,
  bandits.gaussian_process,
  bandits.gaussian_unknown_noise,
  bandits.last_layer_laplace,
  bandits.linear,
  bandits.linear_disjoint,
  bandits.linear_hybrid,
  bandits.linear_unknown_noise,
  bandits.logistic,
  bandits.neural_gradient,
  bandits.neural_linear,
  bandits.perturbed_linear,
  bandits.popularity_matrix_factorisation,
  bandits.popularity_per_user_linear,
)
EXPLORERS = (
  bandits.epsilon_greedy,
  bandits.explore_then_commit,
  bandits.falcon,
  bandits.greedy,
  bandits.information_directed,
  bandits.softmax,
  bandits.squarecb,
  bandits.thompson,
  bandits.top_two_thompson,
  bandits.ucb,
  bandits.uncertainty_sampling,
  bandits.uniform,
  bandits.vdbe,
)
SPEC = ArmSpec(100, 100, query_dim=16, arm_dim=16, num_users=10)


def run(peers_python: str) -> list[Row]:
  """A row a belief, for the explorer that takes longest with it."""
  del peers_python
  rows = []
  with progress('compile', len(BELIEFS) * len(EXPLORERS)) as advance:
    for belief in BELIEFS:
      seconds = {}
      for explorer in EXPLORERS:
        seconds[explorer.__name__] = _seconds(combine(belief(), explorer()))
        advance(1, f'{belief.__name__} {explorer.__name__}')
      slowest = max(seconds, key=seconds.__getitem__)
      subject = f'{belief.__name__} with {slowest}, the slowest of {len(seconds)} explorers'
      value = seconds[slowest]
      rows.append(Row('compile', subject, value, 's', 'limit', LIMIT, value / LIMIT, 1))
  return rows


def _seconds(policy: bandits.Policy) -> float:
  """Of a first call; nothing but the compilation takes long in it."""
  jax.clear_caches()
  play = streams.measure(policy, SPEC, num_seeds=1, num_rounds=2, shared=True)
  start = time.perf_counter()
  play()
  return time.perf_counter() - start
