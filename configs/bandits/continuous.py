"""A continuous action on a grid of 64: a tree over actions beside a regression for each."""

from rec_jax.studies.sweep.config import ContinuousConfig


def get_config() -> ContinuousConfig:
  """The defaults of a sweep, in this world."""
  return ContinuousConfig(policies='cats,disjoint_lin_ts,disjoint_lin_ucb')
