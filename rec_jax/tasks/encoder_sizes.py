"""The sizes of the text encoder of a run: known without loading what models are made of."""

import dataclasses
from pathlib import Path

from rec_jax.data.config import DataConfig
from rec_jax.models.config import TextEncoderConfig
from rec_jax.models.hugging_face import description


def sizes(data: DataConfig) -> TextEncoderConfig:
  """Those of the folder of the config; of all-MiniLM-L6-v2 they are known without its package.

  Raises:
    InputError: a folder without a config that is known here.
  """
  if data.text_model:
    return description.read(Path(data.text_model), data.text_pooling).config
  known = TextEncoderConfig()
  pooling = known.pooling if data.text_pooling == 'auto' else data.text_pooling
  return dataclasses.replace(known, pooling=pooling)
