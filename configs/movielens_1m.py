"""MovieLens-1M or 10M as published: set --config.data.folder to their folder."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on these files."""
  config = Config()
  config.data.source = 'movielens_1m'
  return config
