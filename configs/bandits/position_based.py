"""Slates whose lower positions are looked at less often."""

from rec_jax.studies.sweep.config import PositionBasedConfig


def get_config() -> PositionBasedConfig:
  """The defaults of a sweep, in this world."""
  return PositionBasedConfig(policies='gaussian_ts,gaussian_ucb')
