"""Rewards fixed by an adversary: who explores enough not to be led astray."""

from rec_jax.studies.sweep.config import AdversarialConfig


def get_config() -> AdversarialConfig:
  """The defaults of a sweep, in this world."""
  return AdversarialConfig(policies='exp3,ucb1,popularity_greedy')
