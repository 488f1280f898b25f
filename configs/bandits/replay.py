"""The uniform log of the Open Bandit sample, replayed by rejection (Li et al. 2011)."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep over the whole log."""
  return SweepConfig(
    environment='replay', policies='bernoulli_ts,disjoint_lin_ucb', num_rounds=10_000
  )
