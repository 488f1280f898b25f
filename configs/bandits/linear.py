"""Rewards linear in the features of the arms: policies x hyperparameters x seeds."""

from rec_jax.studies.sweep.config import LinearConfig


def get_config() -> LinearConfig:
  """The defaults of a sweep."""
  return LinearConfig()
