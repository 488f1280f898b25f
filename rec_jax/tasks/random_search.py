"""Random search over declared settings: as many trials for every model (Bergstra & Bengio 2012)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from rec_jax.models.baselines.registry import Hyperparameters, Range


class Trial(NamedTuple):
  """Settings that were tried, and what they brought; higher is better."""

  settings: dict[str, float]
  value: float


def search(
  objective: Callable[[Hyperparameters], float],
  space: Mapping[str, Range],
  num_trials: int,
  seed: int,
) -> list[Trial]:
  """Tries the defaults and then settings drawn at random, the best trial first.

  Without anything to tune there is one trial. Among equals the earliest stands first.

  Args:
    objective: settings -> value.
    space: what may be set, by name.
    num_trials: at most, 1 or more.
    seed: of the draws; more trials under one seed begin with those of fewer.
  """
  rng = np.random.default_rng(seed)
  trials = []
  for number in range(num_trials if space else 1):
    drawn = {name: each.draw(rng) if number else each.default for name, each in space.items()}
    trials.append(Trial(drawn, float(objective(drawn))))
  return sorted(trials, key=lambda trial: -trial.value)
