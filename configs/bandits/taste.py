"""A user whose taste moves with what is shown: `--config.taste_step=-0.05` for one who tires of it.

Regret is against the best item for the taste of that round; the sum of expected rewards tells what
a policy made of the whole path.
"""

from rec_jax.studies.sweep.config import TasteConfig


def get_config() -> TasteConfig:
  """The defaults of a sweep, in this world."""
  return TasteConfig(
    policies='lin_ts,lin_ucb,lin_greedy',
    grid='lin_ts.gamma=1|0.99,lin_ucb.gamma=1|0.99',
    noise=0.3,
  )
