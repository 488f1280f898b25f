"""A reward matrix of the user's own: give it by --config.rewards=FILE.npz."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep, in this world."""
  return SweepConfig(environment='matrix', policies='gaussian_ts,disjoint_lin_ucb')
