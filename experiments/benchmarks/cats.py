"""CATS beside Vowpal Wabbit's, on streams of regressions."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import OURS, Repeat, ask_peer
from rec_jax import bandits
from rec_jax.environments.continuous import ContinuousData, continuous_environment
from rec_jax.environments.rollout import rollout
from rec_jax.runs.study import Study, Values
from rec_jax.types import ArmSpec

NUM_ACTIONS, DIM, NUM_ROUNDS, NOISE = 64, 4, 5_000, 0.1
DEPTH, SMOOTHING = 4, {'bandwidth': 0.1, 'epsilon': 0.1}
WIDTHS = (1.0, 0.2)
PEER = 'vowpalwabbit 9.11.9'
SPEC = ArmSpec(NUM_ACTIONS, NUM_ACTIONS, query_dim=DIM, arm_dim=1)


def get_study() -> Study:
  """Both with 16 leaves, a bandwidth of 0.1 and epsilon of 0.1, as they come otherwise."""
  return Study(
    title='CATS on a tent of width 1 and of width 0.2, beside Vowpal Wabbit',
    protocol=(
      f'mean expected reward over the last quarter of {NUM_ROUNDS:,} rounds; a truth and a stream '
      f'a seed, drawn by each side from the same distribution; {DIM} numbers in a query, noise '
      f'{NOISE:g}, {{num_seeds}} seeds; ours on a grid of {NUM_ACTIONS} actions'
    ),
    config=Repeat(),
    variants={OURS: {}, PEER: {'side': PEER}},
    baseline=OURS,
    seeds=range(16),
    measure=measure,
  )


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The reward for each width."""
  del workdir
  reward = _ours if config.side == OURS else functools.partial(_peer, config.peers)
  return {
    f'reward, width {width:g}': Values([reward(config.seed, width)], [config.seed])
    for width in WIDTHS
  }


@functools.cache
def _environment() -> Any:
  """One object, so that what is compiled for it serves all seeds."""
  return continuous_environment(NUM_ACTIONS, DIM)


def _ours(seed: int, width: float) -> float:
  policy = bandits.make('cats', depth=DEPTH, **SMOOTHING)
  data = ContinuousData(jnp.float32(width), jnp.float32(NOISE))
  keys = jax.random.key(seed)[None]
  played = rollout(keys, policy, _environment(), data, SPEC, NUM_ROUNDS)
  return float(np.mean(played.metrics.expected_reward[:, -NUM_ROUNDS // 4 :]))


def _peer(python: str, seed: int, width: float) -> float:
  sizes = {'seed': seed, 'width': width, 'dim': DIM, 'num_rounds': NUM_ROUNDS, 'noise': NOISE}
  return float(ask_peer(python, 'vowpal_cats.py', num_leaves=2**DEPTH, **SMOOTHING, **sizes))
