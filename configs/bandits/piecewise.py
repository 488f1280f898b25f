"""Linear rewards whose weights change at four rounds: forgetting (gamma) or remembering all."""

from rec_jax.studies.sweep.config import PiecewiseConfig


def get_config() -> PiecewiseConfig:
  """The defaults of a sweep, in this world."""
  return PiecewiseConfig(
    policies='lin_ts,lin_ucb',
    grid='lin_ts.gamma=1|0.99,lin_ucb.gamma=1|0.99',
  )
