"""Rewards that are a network of the features: policies that learn one against linear ones."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep, in this world."""
  return SweepConfig(
    environment='neural', policies='lin_ucb,gp_ucb,neural_linear_ts,ensemble_ts', noise=0.1
  )
