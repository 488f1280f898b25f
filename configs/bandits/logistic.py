"""Rewards of 0 and 1, logistic in the features of the arms."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep, in this world."""
  return SweepConfig(environment='logistic', policies='logistic_ts,logistic_ucb,lin_ucb')
