"""Independent arms without features: index rules against posterior sampling."""

from rec_jax.studies.sweep.config import KArmedConfig


def get_config() -> KArmedConfig:
  """The defaults of a sweep, in this world."""
  return KArmedConfig(policies='bernoulli_ts,kl_ucb,moss,ucb1,bernoulli_ids')
