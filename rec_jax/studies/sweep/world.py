"""What a world is to a sweep."""

from typing import Any, NamedTuple

from rec_jax.environments.base import Environment
from rec_jax.studies.sweep.sweep_metrics import REGRET, Measure
from rec_jax.types import ArmSpec


class World(NamedTuple):
  """An environment of one user with its data, shared by all seeds.

  Attributes:
    environment: of one user a round, with slates of `spec.slate_size`.
    data: its truth.
    spec: the sizes of a policy for it.
    description: what it is, for the protocol.
    measure: what is reported of it.
    file: that of the user's own from which it was read, if any.
  """

  environment: Environment
  data: Any
  spec: ArmSpec
  description: str
  measure: Measure = REGRET
  file: str = ''
