"""Small files that worlds read."""

from pathlib import Path

import numpy as np

from rec_jax.data import logged, obp


def write(folder: Path) -> dict[str, str]:
  """Fields of the configs of sweeps that name a reward matrix and a uniform log of 60 rounds."""
  np.savez(folder / 'matrix.npz', rewards=[[1.0, np.nan, 2.0], [0.5, 1.0, 0.0]])
  rng = np.random.default_rng(0)
  feedback = {
    'n_actions': 3,
    'action': rng.integers(3, size=60),
    'reward': rng.random(60),
    'pscore': np.full(60, 1 / 3),
    'context': rng.normal(size=(60, 2)),
  }
  logged.write(folder / 'log.parquet', obp.from_dictionary(feedback))
  return {'rewards': str(folder / 'matrix.npz'), 'log': str(folder / 'log.parquet')}
