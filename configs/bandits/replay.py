"""The uniform log of the Open Bandit sample, replayed by rejection (Li et al. 2011)."""

from rec_jax.studies.sweep.config import ReplayConfig


def get_config() -> ReplayConfig:
  """The defaults of a sweep over the whole log."""
  return ReplayConfig(policies='bernoulli_ts,disjoint_lin_ucb', num_rounds=10_000)
