"""MovieLens-20M, 25M, 32M or latest as published: set --config.data.folder to their folder."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on these files."""
  config = Config()
  config.data.source = 'movielens_25m'
  return config
