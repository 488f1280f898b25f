"""Slates that users scan until something attracts: CascadeUCB1 and the like."""

from rec_jax.studies.sweep.config import CascadeConfig


def get_config() -> CascadeConfig:
  """The defaults of a sweep, in this world."""
  return CascadeConfig(policies='ucb1,kl_ucb,bernoulli_ts')
