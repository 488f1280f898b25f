"""How much policies learnt from a log earn more than the one that logged, over synthetic worlds.

A log teaches by its first 2,000 rounds, with 5 features and 10 actions, rewards 0 and 1, by a
softmax of a noisy copy of the truth with a fifth of uniform exploration. Expected rewards are
known, so values are exact, in its other 2,000 rounds, which taught nothing. The unit of an interval
is the world.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import special

from rec_jax.data import obp
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.runs.study import Values
from rec_jax.studies.logged import learn, policy_checkpoint
from rec_jax.studies.logged.objectives import LearningConfig

NUM_ROUNDS, NUM_FEATURES, NUM_ACTIONS = 2_000, 5, 10
EXPLORATION = 0.2


@dataclasses.dataclass
class LearningGainsConfig:
  """One objective in one world.

  Attributes:
    seed: of the world and of the learning.
    objective: of `learn_policy`; empty for the policy that logged.
  """

  seed: int = 0
  objective: str = ''


def measure(config: LearningGainsConfig, workdir: Path) -> Mapping[str, Values]:
  """What a policy earns in the rounds that taught nothing, with an item and with a slate."""
  del workdir
  log, expected, policy = make_world(config.seed)
  if config.objective:
    frozen = learn.learn(log, LearningConfig(config.objective), NUM_ROUNDS, config.seed)
    query, features = policy_checkpoint.seen_by(frozen, log)
    policy = special.softmax(query @ features.T, axis=1)
  item, slate = earned(policy, expected)
  world = [config.seed]
  return {'value of an item': Values([item], world), 'value of a slate': Values([slate], world)}


def make_world(seed: int) -> tuple[LoggedFeedback, np.ndarray, np.ndarray]:
  """(log, expected rewards [n, K], the policy that logged [n, K])."""
  rng = np.random.default_rng(seed)
  weights, shape = rng.normal(size=(NUM_ACTIONS, NUM_FEATURES)), (2 * NUM_ROUNDS, NUM_FEATURES)
  context = rng.normal(size=shape)
  expected = special.expit(context @ weights.T - 1)
  preferred = special.softmax(context @ (weights + rng.normal(size=weights.shape)).T, axis=1)
  behaviour = (1 - EXPLORATION) * preferred + EXPLORATION / NUM_ACTIONS
  rows = np.arange(len(context))
  below = rng.random(len(rows))[:, None] > np.cumsum(behaviour, axis=1)
  action = below.sum(1).clip(max=NUM_ACTIONS - 1)
  feedback = {
    'n_actions': NUM_ACTIONS,
    'action': action,
    'reward': (rng.random(len(rows)) < expected[rows, action]).astype(float),
    'pscore': behaviour[rows, action],
    'context': context,
  }
  return obp.from_dictionary(feedback), expected, behaviour


def earned(policy: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
  """What a policy [n, K] earns with an item, and with a slate of draws, each item once.

  Only rounds that taught nothing count; the slate has as many draws as `top_k` takes.
  """
  policy, expected = policy[NUM_ROUNDS:], expected[NUM_ROUNDS:]
  shown = 1 - (1 - policy) ** LearningConfig('top_k').slate_size
  return float((policy * expected).sum(1).mean()), float((shown * expected).sum(1).mean())
