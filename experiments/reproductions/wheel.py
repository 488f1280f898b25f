"""The wheel by neural-linear Thompson sampling, for five sizes of its inner disc."""

from pathlib import Path

import jax
import numpy as np

from experiments.reproductions import Repeat, reproduction
from rec_jax import bandits
from rec_jax.bandits.beliefs import network
from rec_jax.environments.rollout import rollout
from rec_jax.environments.wheel import ARM_DIM, NUM_ARMS, WheelData, wheel_environment
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected
from rec_jax.types import ArmSpec

# Radius of the inner disc -> regret in percent of that of uniform choice, with its standard error.
PUBLISHED = {
  0.5: (0.95, 0.02),
  0.7: (1.60, 0.03),
  0.9: (4.65, 0.18),
  0.95: (9.56, 0.36),
  0.99: (49.63, 2.41),
}
PUBLISHED_RUNS = 50
NUM_REPEATS, RUNS_AT_ONCE = 3, 2
# Standard deviations over our runs.
SPREADS = {0.5: 0.16, 0.7: 0.12, 0.9: 1.4, 0.95: 0.73, 0.99: 20.0}
# Up to round -> rounds between two fits of the network.
SCHEDULE = ((1_000, 50), (8_000, 500), (80_000, 6_000))
HIDDEN, CAPACITY, FIT_STEPS, PRIOR_PRECISION = 50, 20_000, 400, 0.25
_TITLE = 'The wheel by neural-linear Thompson sampling, beside the published regrets'
_SETUP = (
  f'wheel of Riquelme, Tucker & Snoek (2018), section 5.4: 80,000 rounds, means 1.2, 1 and 50, '
  f'noise 0.01; regret in percent of the expected one of uniform choice, '
  f'{NUM_REPEATS * RUNS_AT_ONCE} runs; published: NeuralLinear by the code of Riquelme et al., '
  f'{PUBLISHED_RUNS} runs, in table 1 of Ravi & Beatson (2019), Amortized Bayesian Meta-Learning; '
  'tolerance: two standard errors of the difference, ours by the spread of our runs. Deviations: '
  'one head for all arms, which reads an input an arm, where theirs has one an arm; noise variance '
  '1 where theirs is learnt; no first pulls of each arm; two hidden layers of '
  f'{HIDDEN}; a fit of {FIT_STEPS} steps of Adam each 50 rounds at first and 6,000 at last; the '
  f'head is learnt anew from the last {CAPACITY:,} outcomes'
)


def get_study() -> Study:
  """Mean relative regrets for several radii."""
  num_runs = NUM_REPEATS * RUNS_AT_ONCE
  published = {
    _metric(radius): Expected.near(number, 2 * (error**2 + SPREADS[radius] ** 2 / num_runs) ** 0.5)
    for radius, (number, error) in PUBLISHED.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published, runs=NUM_REPEATS)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The relative regrets of the runs of one seed."""
  del workdir
  units = [f'{config.seed}-{run}' for run in range(RUNS_AT_ONCE)]
  return {
    _metric(radius): Values(relative_regrets(config.seed, radius, RUNS_AT_ONCE), units)
    for radius in PUBLISHED
  }


def relative_regrets(seed: int, radius: float, num_runs: int) -> np.ndarray:
  """[num_runs] regret in percent of the expected regret of uniform choice."""
  fit = network.adam(FIT_STEPS)
  policy = bandits.make(
    'neural_linear_ts', lambda_=PRIOR_PRECISION, hidden=HIDDEN, capacity=CAPACITY, fit=fit
  )
  keys = jax.random.split(jax.random.key(seed), num_runs)
  data, spec = WheelData(disc_radius=radius), ArmSpec(NUM_ARMS, NUM_ARMS, 2, ARM_DIM)
  policy_state = env_state = None
  regret, first = np.zeros(num_runs), 0
  for last, every in SCHEDULE:
    played = rollout(
      keys,
      policy,
      wheel_environment(),
      data,
      spec,
      last - first,
      first_round=first,
      policy_state=policy_state,
      env_state=env_state,
      return_state=True,
      refresh_every=every,
    )
    missed = played.metrics.best_expected_reward - played.metrics.expected_reward
    regret += missed.sum(axis=(1, 2, 3), dtype=np.float64)
    policy_state, env_state, first = played.policy_state, played.env_state, last
  return 100 * regret / (first * uniform_regret(data))


def uniform_regret(data: WheelData) -> float:
  """Of one round: the share of the disc within the radius is its square."""
  safe, low, high = float(data.safe), float(data.low), float(data.high)
  inner = (NUM_ARMS - 1) * (safe - low) / NUM_ARMS
  outer = ((high - safe) + (NUM_ARMS - 2) * (high - low)) / NUM_ARMS
  share = float(data.disc_radius) ** 2
  return share * inner + (1 - share) * outer


def _metric(radius: float) -> str:
  return f'percent of uniform, radius {radius}'
