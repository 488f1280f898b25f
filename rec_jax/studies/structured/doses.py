"""Logs of doses, of which the reward is a sine, so that the model of the reward is wrong.

Shape letters: n rounds, X contexts.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from rec_jax.evaluation.off_policy import continuous
from rec_jax.evaluation.off_policy.estimators import Terms
from rec_jax.evaluation.off_policy.overlap import overlap_of
from rec_jax.evaluation.off_policy.registry import ESTIMATORS
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.studies.logged.dose_value import NAMES
from rec_jax.studies.logged.log_checks import NUM_FOLDS

NUM_CONTEXTS = 20
# What the labels of those at the bandwidth of SLOPE end with.
SLOPE = ", SLOPE's h"


class World(NamedTuple):
  """Doses are logged uniformly in [0, 1]; contexts [X], doses of the policy [X], and its value."""

  context: np.ndarray
  dose: np.ndarray
  truth: float


def world(random: np.random.RandomState, least: float, largest: float) -> World:
  """A policy that takes doses between two numbers."""
  context = random.normal(size=NUM_CONTEXTS)
  dose = random.uniform(least, largest, NUM_CONTEXTS)
  return World(context, dose, float(_expected(context, dose).mean()))


def terms(
  world: World, random: np.random.RandomState, num_rounds: int
) -> tuple[dict[str, Terms], dict[str, bool]]:
  """One log: what each round adds to each estimate, and of which nothing warns but the bias."""
  each = random.randint(NUM_CONTEXTS, size=num_rounds)
  context, dose = world.context[each], world.dose[each]
  action = random.uniform(size=num_rounds)
  reward = _expected(context, action) + 0.3 * random.normal(size=num_rounds)
  fold = folds(random.randint(1 << 30), num_rounds, NUM_FOLDS)
  model = continuous.expected_rewards(reward, action, dose, context[:, None], fold)
  log: dict[str, Any] = {
    'reward': reward,
    'action': action,
    'density': np.ones(num_rounds),
    'dose': dose,
    'q_logged': model[0],
    'q_target': model[1],
  }
  table, quiet = {}, {}
  narrow = continuous.undersmoothed(action, dose)
  for name in NAMES:
    labels = {name: narrow}
    if name != 'dm':
      labels[f'{name}{SLOPE}'] = continuous.slope(ESTIMATORS[name], **log)
    for label, width in labels.items():
      rounds = continuous.near(**log, bandwidth=width)
      with jax.enable_x64():
        table[label] = ESTIMATORS[name](rounds)
      quiet[label] = not (overlap_of(rounds).warning or continuous.beyond(action, dose, width))
  return table, quiet


def _expected(context: np.ndarray, dose: np.ndarray) -> np.ndarray:
  return np.sin(4 * dose + context / 2)
