"""Linear rewards over a fixed set of arms."""

from rec_jax.studies.sweep.config import FixedLinearConfig


def get_config() -> FixedLinearConfig:
  """The defaults of a sweep, in this world."""
  return FixedLinearConfig()
