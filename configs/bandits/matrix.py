"""A reward matrix of the user's own: give it by --config.rewards=FILE.npz."""

from rec_jax.studies.sweep.config import MatrixConfig


def get_config() -> MatrixConfig:
  """The defaults of a sweep, in this world."""
  return MatrixConfig(policies='gaussian_ts,disjoint_lin_ucb')
