"""Tables for classification, of which only the class that was guessed is judged right or wrong.

`--config.table` is digits, mushroom, satimage, letter or penbased. A belief that keeps each arm
apart and reads the query is one-vs-rest regression here, at the least cost.
"""

from rec_jax.studies.sweep.config import ClassificationConfig


def get_config() -> ClassificationConfig:
  """The defaults of a sweep, in this world."""
  return ClassificationConfig(
    policies='disjoint_lin_ts,disjoint_lin_ucb,bernoulli_ts',
    grid='disjoint_lin_ts.noise_variance=0.01|0.1,disjoint_lin_ucb.alpha=0.1|1',
  )
