"""What the finished stages of a run have left on disk, loaded for those that build on it."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rec_jax import checkpoint
from rec_jax.data import dataset
from rec_jax.data.dataset import Dataset
from rec_jax.data.feature_encoding import Widths
from rec_jax.models.student import Student
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import manifest as manifests
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import (
  distillation,
  item_to_item,
  next_item,
  saved_models,
  text_encoders,
  two_tower_model,
)
from rec_jax.tasks.two_tower_model import TwoTowerModel
from rec_jax.types import InputError


def load_config(workdir: str | os.PathLike[str]) -> Config:
  """The config that a run was made with.

  Raises:
    InputError: `workdir` is not that of a run of the chain, or of another version of the code.
  """
  manifest = runs.read_manifest(workdir)
  manifests.check_fields(manifest, dataclasses.asdict(Config()), workdir)
  return _config(Config, manifest['config'])


def check_text_model(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Compares the files of the text encoder with those whose tokens `prepare` wrote.

  Raises:
    InputError: they have changed.
  """
  found = text_encoders.fingerprint(config.data)
  if runs.read_manifest(workdir).get('text_model', found) != found:
    raise InputError(
      f'{text_encoders.folder(config.data)} has changed since {workdir} was begun: '
      'give another --workdir'
    )


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
  """The text encoder of the stage `pretrain`.

  Raises:
    InputError: the stage is not finished, or as in `check_text_model`.
  """
  check_text_model(config, workdir)
  return saved_models.load(
    runs.require(workdir, 'pretrain') / 'model', lambda: _encoder_like(config, config.seed)
  )


def load_two_tower(
  config: Config, workdir: str | os.PathLike[str], variant: str, seed: int, num_items: int
) -> TwoTowerModel:
  """A model of the stage `finetune`.

  Raises:
    InputError: the stage is not finished, trained no such variant, or tuned another encoder than
      that of `pretrain`, or as in `check_text_model`.
  """
  directory = runs.require(workdir, 'finetune') / f'seed_{seed}' / variant
  if not directory.exists():
    raise InputError(
      f'{workdir} has no {variant} model, only {config.finetune.variants}: '
      f'give another --workdir and --config.finetune.variants with {variant} in it'
    )

  def build() -> TwoTowerModel:
    rank = item_to_item.rank(variant, config.finetune, num_items)
    encoder = _encoder_like(config, seed)
    sizes = num_items, seed, rank, _widths(directory / 'model')
    return next_item.new_model(variant, encoder, config.finetune, *sizes)

  if variant == 'id_only':
    return saved_models.load(directory / 'model', build)
  encoder = load_encoder(config, workdir)
  frozen = next_item.frozen(encoder, config.finetune)
  return saved_models.load(directory / 'model', build, frozen, encoder)


def save_two_tower(
  config: Config, directory: Path, model: TwoTowerModel, step: int, encoder: TextEncoder
) -> None:
  """Writes a model for `load_two_tower`: all but what tuning left of the encoder as it was.

  Args:
    config: of the run.
    directory: `finetune/seed_<s>/<variant>` of its workdir.
    model: in evaluation mode.
    step: of training.
    encoder: of the stage `pretrain`.
  """
  settings = dataclasses.asdict(config) | {_WIDTHS: two_tower_model.widths(model)}
  if model.encoder is None:
    saved_models.save(directory / 'model', model, step, settings)
  else:
    frozen = next_item.frozen(encoder, config.finetune)
    saved_models.save(directory / 'model', model, step, settings, frozen, encoder)


def save_student(config: Config, directory: Path, student: Student, step: int) -> None:
  """Writes a model for `load_student`, likewise; its directory is `distil/seed_<s>`."""
  widths = student.features.shape[1], student.users.context_width
  saved_models.save(
    directory / 'model', student, step, dataclasses.asdict(config) | {_WIDTHS: widths}
  )


def load_student(
  config: Config, workdir: str | os.PathLike[str], seed: int, num_items: int
) -> Student:
  """A model of the stage `distil`."""
  directory = runs.require(workdir, 'distil') / f'seed_{seed}' / 'model'
  return saved_models.load(
    directory,
    lambda: distillation.new_student(
      config.distil,
      num_items,
      _encoder_like(config, seed).token.embedding.shape,
      config.data.text_length,
      config.finetune.history_length,
      item_to_item.rank('teacher', config.finetune, num_items),
      seed,
      _widths(directory),
    ),
  )


# Beside the config of a checkpoint: the widths of features, which follow from the data.
_WIDTHS = 'widths'


def _widths(directory: Path) -> Widths:
  return Widths(*checkpoint.load_config(directory).get(_WIDTHS, ()))


def _config(kind: Any, settings: Mapping[str, Any]) -> Any:
  """The nested dataclass that a manifest holds as nested dictionaries."""
  known = {field.name: field.type for field in dataclasses.fields(kind)}
  nested = {
    name: _config(known[name], value) if dataclasses.is_dataclass(known[name]) else value
    for name, value in settings.items()
  }
  return kind(**nested)


def _encoder_like(config: Config, seed: int) -> TextEncoder:
  """An encoder of the sizes of the run; it is only traced."""
  return text_encoders.initial('random', config.data, seed)
