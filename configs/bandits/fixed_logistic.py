"""Rewards of 0 and 1, logistic over a fixed set of arms."""

from rec_jax.studies.sweep.config import FixedLogisticConfig


def get_config() -> FixedLogisticConfig:
  """The defaults of a sweep, in this world."""
  return FixedLogisticConfig(policies='logistic_ts,logistic_ucb,bernoulli_ts')
