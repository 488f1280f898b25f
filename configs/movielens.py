"""MovieLens-100k from the installed data packages: the default run."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage."""
  return Config()
