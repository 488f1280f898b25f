"""MIND, the Microsoft News Dataset: set --config.data.folder to the folder of its files."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, on these files."""
  config = Config()
  config.data.source = 'mind'
  return config
