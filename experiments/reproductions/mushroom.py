"""Mushrooms as a bandit: regret of neural Thompson sampling."""

from pathlib import Path

import jax
import numpy as np

from experiments.reproductions import Repeat, reproduction
from rec_jax import bandits
from rec_jax.environments.rollout import rollout
from rec_jax.evaluation.regret import cumulative_regret
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected
from rec_jax.studies.sweep import worlds
from rec_jax.studies.sweep.config import ClassificationConfig

NUM_ROUNDS, NUM_RUNS, REFRESH_EVERY = 8_124, 8, 100
PUBLISHED = 115.0
# Standard deviation over our runs.
SPREAD = 12.5
_TITLE = 'Regret of neural Thompson sampling on mushrooms'
_SETUP = (
  f'mushroom, reward 1 for the right one of two classes, {NUM_ROUNDS:,} rounds, {NUM_RUNS} runs; '
  'Zhang et al. (2021), Neural Thompson Sampling, as quoted by '
  'www.wizwand.com/paper/68fa6b861e209131cea2ed1f, which gives neither spread nor number of runs: '
  'tolerance of two standard errors of the difference from one run. Deviations: the table of KEEL, '
  '5,644 rows without missing values, over again after the last, one-hot; 32 hidden units in each '
  f'of two layers, fitted every {REFRESH_EVERY} rounds to all outcomes; scale 0.1, where theirs is '
  'the best of a grid'
)


def get_study() -> Study:
  """Mean regret after the last round."""
  tolerance = 2 * SPREAD * (1 + 1 / NUM_RUNS) ** 0.5
  published = {'neural_ts regret': Expected.near(PUBLISHED, tolerance)}
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  world = worlds.build(ClassificationConfig(table='mushroom'))
  metrics = rollout(
    jax.random.split(jax.random.key(config.seed), NUM_RUNS),
    bandits.make('neural_ts', scale=0.1, capacity=NUM_ROUNDS),
    world.environment,
    world.data,
    world.spec,
    NUM_ROUNDS,
    refresh_every=REFRESH_EVERY,
  ).metrics
  chosen, best = (x[:, :, 0, 0] for x in (metrics.expected_reward, metrics.best_expected_reward))
  return {'neural_ts regret': Values(cumulative_regret(chosen, best)[:, -1], np.arange(NUM_RUNS))}
