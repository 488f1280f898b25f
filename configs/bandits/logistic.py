"""Rewards of 0 and 1, logistic in the features of the arms."""

from rec_jax.studies.sweep.config import LogisticConfig


def get_config() -> LogisticConfig:
  """The defaults of a sweep, in this world."""
  return LogisticConfig(policies='logistic_ts,logistic_ucb,lin_ucb')
