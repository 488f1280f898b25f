"""The wheel of Riquelme et al. (2018), at an inner disc of half the radius."""

from rec_jax.studies.sweep.config import WheelConfig


def get_config() -> WheelConfig:
  """The defaults of a sweep, in this world."""
  return WheelConfig(policies='lin_ts,lin_ucb,lin_epsilon_greedy', noise=0.01)
