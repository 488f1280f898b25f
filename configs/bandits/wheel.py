"""The wheel of Riquelme et al. (2018), at an inner disc of half the radius."""

from rec_jax.runs.config import SweepConfig


def get_config() -> SweepConfig:
  """The defaults of a sweep, in this world."""
  return SweepConfig(environment='wheel', policies='lin_ts,lin_ucb,lin_epsilon_greedy', noise=0.01)
