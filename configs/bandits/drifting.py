"""Linear rewards whose weights wander: forgetting (gamma) against remembering all."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep, in this world."""
  return SweepConfig(
    environment='drifting',
    policies='lin_ts,lin_ucb',
    grid='lin_ts.gamma=1|0.99,lin_ucb.gamma=1|0.99',
  )
