"""How long each belief takes to compile with each explorer, as a rollout of one seed."""

import dataclasses
import time
from pathlib import Path

import jax

from experiments.benchmarks import streams
from rec_jax import bandits
from rec_jax.bandits.policy import combine
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import MEDIAN_RATIO, Expected
from rec_jax.types import ArmSpec

LIMIT = 10.0
SLOWEST = 'slowest of 13 explorers, s'
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


@dataclasses.dataclass
class CompileConfig:
  """One belief.

  Attributes:
    seed: of nothing; a study has one.
    belief: name of its factory.
  """

  seed: int = 0
  belief: str = ''


def get_study() -> Study:
  """Every belief with every explorer."""
  names = [belief.__name__ for belief in BELIEFS]
  return Study(
    title='How long does each belief take to compile with each explorer?',
    protocol='seconds to compile a rollout of one seed, two rounds, K=100; the limit is 10',
    config=CompileConfig(),
    variants={name: {'belief': name} for name in names},
    expected={(name, SLOWEST): Expected(0.0, LIMIT) for name in names},
    measure=measure,
    compare=MEDIAN_RATIO,
  )


def measure(config: CompileConfig, workdir: Path) -> dict[str, Values]:
  """The explorer that takes longest with a belief."""
  del workdir
  belief = next(belief for belief in BELIEFS if belief.__name__ == config.belief)
  seconds = {explorer.__name__: _seconds(combine(belief(), explorer())) for explorer in EXPLORERS}
  slowest = max(seconds, key=seconds.__getitem__)
  return {SLOWEST: Values([seconds[slowest]], [slowest])}


def _seconds(policy: bandits.Policy) -> float:
  """Of a first call; nothing but the compilation takes long in it."""
  jax.clear_caches()
  play = streams.measure(policy, SPEC, num_seeds=1, num_rounds=2, shared=True)
  start = time.perf_counter()
  play()
  return time.perf_counter() - start
