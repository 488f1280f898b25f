"""The configuration of a run: nested plain dataclasses, one for each stage.

`configs/*.py` return a `Config`; command-line flags override its fields. A stage hands each
function the sub-config that it needs, never the whole.
"""

import dataclasses

from rec_jax.data.config import DataConfig


@dataclasses.dataclass
class Config:
  """A whole run.

  Attributes:
    seed: every random stream of the run derives from it.
  """

  seed: int = 0
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
