"""MovieLens-100k from the installed data packages: the default run, in minutes."""

from rec_jax.runs.config import Config


def get_config() -> Config:
  """The defaults of every stage, but for a pre-training of a tenth of a pass over its corpus."""
  config = Config()
  config.pretrain.num_steps = 24
  return config
