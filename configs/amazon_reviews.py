"""A category of Amazon Reviews 2023: set --config.data.folder to the folder of its files."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on these files."""
  config = Config()
  config.data.source = 'amazon_reviews'
  return config
