"""The configuration of a run: nested plain dataclasses, one for each stage.

`configs/*.py` return a `Config`; command-line flags override its fields. A stage hands each
function the sub-config that it needs, never the whole.
"""

import dataclasses

from rec_jax.data.config import DataConfig


@dataclasses.dataclass
class PretrainConfig:
  """Masked language modelling of the text encoder.

  Attributes:
    init: 'minilm' starts from all-MiniLM-L6-v2, 'random' from random weights of the same sizes.
    num_steps: of each arm.
    batch_size: texts a step.
    learning_rate: peak of AdamW's.
    weight_decay: of AdamW.
    mask_rate: share of the tokens to predict.
    num_held_out: texts that are never trained on, at most half of all.
  """

  init: str = 'minilm'
  num_steps: int = 50
  batch_size: int = 32
  learning_rate: float = 5e-4
  weight_decay: float = 0.01
  mask_rate: float = 0.15
  num_held_out: int = 256


@dataclasses.dataclass
class Config:
  """A whole run.

  Attributes:
    seed: every random stream of the run derives from it.
  """

  seed: int = 0
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
  pretrain: PretrainConfig = dataclasses.field(default_factory=PretrainConfig)
