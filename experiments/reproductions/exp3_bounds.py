"""EXP3 between the lower bound of every policy and its own upper bound, each where it bites."""

import math
from pathlib import Path

from experiments.reproductions import Repeat, arms, reproduction
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

NUM_ROUNDS, NUM_RUNS = 10_000, 200
NUMBERS_OF_ARMS = (2, 10, 50)
_TITLE = 'EXP3 is between the lower bound of every policy and its own upper bound'
_SETUP = (
  f'K Bernoulli arms, T = {NUM_ROUNDS:,}, {NUM_RUNS} runs; hard: means 1/2, and 1/2 + '
  'min(sqrt(K / T), 1) / 4 of one; easy: means 0, and 1 of one; Auer, Cesa-Bianchi, Freund & '
  'Schapire (2002), The Nonstochastic Multiarmed Bandit Problem: at least min(sqrt(K T), T) / 20 '
  'on hard arms (theorem 5.1), at most 2.63 sqrt(T K ln K) on any (corollary 3.2, whose gamma is '
  'used). Deviations: the best arm is the last in all runs, which is the same to a policy that '
  'treats arms alike; regret is against its expected reward. On hard arms any policy meets the '
  'upper bound'
)


def get_study() -> Study:
  """Mean regrets for several numbers of arms."""
  bounds = {}
  for num_arms in NUMBERS_OF_ARMS:
    low, high = within(num_arms)
    bounds[f'hard, K = {num_arms}'] = Expected(low, high)
    bounds[f'easy, K = {num_arms}'] = Expected(0, high)
  return reproduction(_TITLE, _SETUP, measure, bounds)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  found = {}
  for num_arms in NUMBERS_OF_ARMS:
    gap = min(math.sqrt(num_arms / NUM_ROUNDS), 1) / 4
    for name, low, high in (('hard', 0.5, 0.5 + gap), ('easy', 0.0, 1.0)):
      means = [low] * (num_arms - 1) + [high]
      found[f'{name}, K = {num_arms}'] = _regrets(config.seed, means)
  return found


def within(num_arms: int) -> tuple[float, float]:
  """The least regret of any policy on hard arms, and the most of EXP3 on any."""
  low = min(math.sqrt(num_arms * NUM_ROUNDS), NUM_ROUNDS) / 20
  return low, 2.63 * math.sqrt(NUM_ROUNDS * num_arms * math.log(num_arms))


def _regrets(seed: int, means: list[float]) -> Values:
  num_arms = len(means)
  gamma = min(1, math.sqrt(num_arms * math.log(num_arms) / ((math.e - 1) * NUM_ROUNDS)))
  setting = {'mixing': gamma, 'learning_rate': gamma / num_arms}
  return arms.regrets(seed, means, NUM_ROUNDS, NUM_RUNS, 'exp3', **setting)
