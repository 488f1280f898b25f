"""The user's own tables: set --config.data.interactions and --config.data.items to the files."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on CSV or Parquet files."""
  config = Config()
  config.data.source = 'tables'
  return config
