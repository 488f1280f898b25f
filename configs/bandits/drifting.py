"""Linear rewards whose weights wander: forgetting (gamma) against remembering all."""

from rec_jax.studies.sweep.config import DriftingConfig


def get_config() -> DriftingConfig:
  """The defaults of a sweep, in this world."""
  return DriftingConfig(
    policies='lin_ts,lin_ucb',
    grid='lin_ts.gamma=1|0.99,lin_ucb.gamma=1|0.99',
  )
