"""The text encoder of a run as a folder that other libraries read."""

import os
from pathlib import Path

from rec_jax.models.hugging_face import folder
from rec_jax.models.peft import methods as peft
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.tasks import text_encoders, two_tower_model
from rec_jax.types import InputError

STAGES = ('finetune', 'pretrain')


def export(
  workdir: str | os.PathLike[str], output: str | os.PathLike[str], stage: str = STAGES[0]
) -> None:
  """Writes the encoder of a stage in the Hugging Face layout, low-rank terms merged.

  Args:
    workdir: of the run.
    output: the folder, which must not be there yet.
    stage: 'finetune' for the encoder of the teacher (or of the model that knows text alone) of the
      first seed, 'pretrain' for the one that pre-training hands on.

  Raises:
    InputError: the stage is not finished, has no encoder, or one that gained what its weights have
      no place for, or the folder that the run began with has changed, or `output` is there.
  """
  config = artefacts.load_config(workdir)
  load = _finetuned if stage == 'finetune' else artefacts.load_encoder
  encoder = load(config, workdir)
  folder.save(
    encoder, text_encoders.folder(config.data), Path(output), length=config.data.text_length
  )


def _finetuned(config: Config, workdir: str | os.PathLike[str]) -> TextEncoder:
  dataset = artefacts.load_dataset(workdir)
  variants = [each for each in config.finetune.variants.split(',') if each != 'id_only']
  if not variants:
    raise InputError(f'{workdir} has no model that reads text: give --stage=pretrain')
  variant = 'teacher' if 'teacher' in variants else variants[0]
  num_items = dataset.items.num_items
  model = artefacts.load_two_tower(config, workdir, variant, config.seed, num_items)
  encoder = two_tower_model.text_encoder(model)
  peft.merge(encoder)
  return encoder
