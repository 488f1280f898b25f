"""Rewards that are a network of the features: policies that learn one against linear ones."""

from rec_jax.studies.sweep.config import NeuralConfig


def get_config() -> NeuralConfig:
  """The defaults of a sweep, in this world."""
  return NeuralConfig(policies='lin_ucb,gp_ucb,neural_linear_ts,ensemble_ts', noise=0.1)
