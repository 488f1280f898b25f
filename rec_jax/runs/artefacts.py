"""What the finished stages of a run have left on disk, loaded for those that build on it."""

import os

from rec_jax.data import dataset
from rec_jax.data.dataset import Dataset
from rec_jax.models.student import Student
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import distillation, item_to_item, next_item, saved_models, text_encoders
from rec_jax.tasks.next_item import TwoTowerModel
from rec_jax.types import InputError


def seeds(config: Config) -> range:
  """The seeds of the models of a run."""
  return range(config.seed, config.seed + config.num_seeds)


def load_dataset(workdir: str | os.PathLike[str]) -> Dataset:
  """The data set of the stage `prepare`.

  Raises:
    InputError: the stage is not finished, or its files are damaged.
  """
  return dataset.read(runs.require(workdir, 'prepare'))


def load_encoder(config: Config, workdir: str | os.PathLike[str]) -> TextEncoder:
  """The text encoder of the stage `pretrain`."""
  return saved_models.load(
    runs.require(workdir, 'pretrain') / 'model', lambda: _encoder_like(config.seed)
  )


def load_two_tower(
  config: Config, workdir: str | os.PathLike[str], variant: str, seed: int, num_items: int
) -> TwoTowerModel:
  """A model of the stage `finetune`.

  Raises:
    InputError: the stage is not finished, or trained no such variant.
  """
  directory = runs.require(workdir, 'finetune') / f'seed_{seed}' / variant
  if not directory.exists():
    raise InputError(
      f'{workdir} has no {variant} model, only {config.finetune.variants}: '
      f'give another --workdir and --config.finetune.variants with {variant} in it'
    )
  return saved_models.load(
    directory / 'model',
    lambda: next_item.new_model(
      variant,
      _encoder_like(seed),
      config.finetune,
      num_items,
      seed,
      item_to_item.rank(variant, config.finetune, num_items),
    ),
  )


def load_student(
  config: Config, workdir: str | os.PathLike[str], seed: int, num_items: int
) -> Student:
  """A model of the stage `distil`."""
  return saved_models.load(
    runs.require(workdir, 'distil') / f'seed_{seed}' / 'model',
    lambda: distillation.new_student(
      config.distil,
      num_items,
      _encoder_like(seed).token.num_embeddings,
      config.data.text_length,
      config.finetune.history_length,
      item_to_item.rank('teacher', config.finetune, num_items),
      seed,
    ),
  )


def _encoder_like(seed: int) -> TextEncoder:
  """An encoder of the sizes that every run has; it is only traced."""
  return text_encoders.initial('random', seed)
