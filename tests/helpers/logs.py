"""Small logs of uniform choices, for what reads a log rather than what computes with it."""

import numpy as np

from rec_jax.data import obp


def two_items(num_rounds=300):
  """Of two items, the first of which pays in three rounds of ten and the other in seven."""
  rng = np.random.default_rng(0)
  action = rng.integers(2, size=num_rounds)
  return obp.from_dictionary(
    {
      'n_actions': 2,
      'action': action,
      'reward': (rng.random(num_rounds) < 0.3 + 0.4 * action).astype(float),
      'pscore': np.full(num_rounds, 0.5),
    }
  )
