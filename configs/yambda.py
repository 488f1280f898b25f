"""Yambda, the flat layout: set --config.data.folder to the folder of its files."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on these files."""
  config = Config()
  config.data.source = 'yambda'
  # Percent of a track that is played: Listen+ of the paper.
  config.data.positive_rating = 50.0
  return config
