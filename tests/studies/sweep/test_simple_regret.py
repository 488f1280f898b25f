"""Simple regret of the sweep: uniform's in closed form, and what finding the best arm is worth."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from rec_jax.studies.sweep import rollouts, worlds
from rec_jax.studies.sweep.config import KArmedConfig


def played(config, policy):
  """Simple regret [S] after the last round."""
  world = worlds.build(config)
  frame = rollouts.play(config, world, policy, [{}], lambda *args: None)
  (sums,) = rollouts.sums_of(frame, config.num_seeds).values()
  return sums['simple_regret'][:, -1]


def test_uniform_on_two_arms_is_the_closed_form():
  means, num_rounds = (0.5, 0.8), 12
  config = KArmedConfig(means='0.5,0.8', num_seeds=4000, num_rounds=num_rounds, num_points=1)
  wrong = 0.0
  for n in range(num_rounds + 1):
    share = math.comb(num_rounds, n) / 2**num_rounds
    worse, better = (
      scipy.stats.binom.pmf(np.arange(m + 1), m, mean)
      for m, mean in zip((n, num_rounds - n), means, strict=True)
    )
    for i, j in itertools.product(range(n + 1), range(num_rounds - n + 1)):
      first = i / n if n else -1
      second = j / (num_rounds - n) if n < num_rounds else -1
      wrong += share * worse[i] * better[j] * ((first > second) + (first == second) / 2)
  found = played(config, 'uniform')
  margin = 4 * found.std() / math.sqrt(len(found))
  assert found.mean() == pytest.approx(0.3 * wrong, abs=margin)
  assert found.mean() != pytest.approx(1.5 * 0.3 * wrong, abs=margin)


@pytest.mark.soak
def test_top_two_beats_uniform_on_five_arms():
  config = KArmedConfig(
    # The noise that the belief takes for granted.
    means='0,0.2,0.4,0.6,0.9',
    noise=1.0,
    num_seeds=400,
    num_rounds=150,
    num_points=1,
  )
  uniform, top_two = (played(config, name) for name in ('uniform', 'gaussian_top_two_ts'))
  difference = uniform - top_two
  assert difference.mean() > 3 * difference.std() / math.sqrt(len(difference))
