"""Rewards linear in the features of the arms: policies x hyperparameters x seeds."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep."""
  return SweepConfig()
