"""What a recommender needs of a run: a model, its catalogue, and how both go on."""

import functools
import os
from typing import NamedTuple

import numpy as np

from rec_jax.bandits import item_prior
from rec_jax.bandits.item_prior import ItemPrior
from rec_jax.data import item_labels, splits
from rec_jax.data.dataset import Dataset
from rec_jax.retrieval import placement
from rec_jax.retrieval.catalogue import Attributes, Catalogue
from rec_jax.retrieval.placement import Place
from rec_jax.retrieval.requests import Reader, usual_spacing
from rec_jax.retrieval.served_model import Model
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.types import InputError

STUDENT, TEACHER = 'student', 'teacher'


class Loaded(NamedTuple):
  """The arguments of a `Recommender`, see there."""

  model: Model
  catalogue: Catalogue
  prior: ItemPrior
  history_length: int
  num_features: int
  place: Place
  reader: Reader
  repeats: bool


def load(workdir: str | os.PathLike[str], name: str | None) -> Loaded:
  """A model of the first seed of a run; arguments and errors as of `from_checkpoint`."""
  if name not in (None, STUDENT, TEACHER):
    raise InputError(f'no model "{name}": there are {STUDENT} and {TEACHER}')
  config = artefacts.load_config(workdir)
  dataset = artefacts.load_dataset(workdir)
  _check_catalogue(workdir, dataset)
  number, ids = dataset.items.num_items, dataset.items.ids.tolist()
  name = name or (STUDENT if runs.is_finished(workdir, 'distil') else TEACHER)
  model: Model
  if name == STUDENT:
    model = artefacts.load_student(config, workdir, config.seed, number)
  else:
    model = artefacts.load_two_tower(config, workdir, TEACHER, config.seed, number)

  attributes = Attributes(
    functools.partial(item_labels.attributes, config.data),
    functools.partial(item_labels.attribute, config.data, item_ids=ids),
  )
  prior = _prior(dataset, config.data.positive_rating)
  return Loaded(
    model,
    Catalogue(dataset.items, prior.num_events, dataset.split.cold_items, attributes),
    prior,
    config.finetune.history_length,
    config.explore.num_features,
    placement.from_run(config, workdir, model, number),
    _reader(dataset),
    dataset.interactions.has_repeats,
  )


def _reader(dataset: Dataset) -> Reader:
  trained = splits.training_events(dataset.interactions, dataset.split)
  return Reader(usual_spacing(dataset.interactions, trained), dataset.encoded.encoders)


def _prior(dataset: Dataset, positive_rating: float) -> ItemPrior:
  """As the stage `explore` has it of the whole catalogue: of the events before the cut."""
  events, number = splits.first_meetings(dataset.interactions, dataset.split.num_before)
  before = slice(number)
  reward = events.reward(positive_rating)[before]
  num_users = len(np.unique(events.user[before]))
  return item_prior.of_events(events.item[before], reward, num_users, dataset.items.num_items)


def _check_catalogue(workdir: str | os.PathLike[str], dataset: Dataset) -> None:
  """Raises InputError where `prepare` is of another data set than the run."""
  begun = runs.read_manifest(workdir).get('fingerprint', dataset.fingerprint)
  if begun != dataset.fingerprint:
    raise InputError(
      f'{workdir}/prepare holds another catalogue than the models were trained on (sha256 '
      f'{dataset.fingerprint[:12]}, not {begun[:12]}): give the workdir as the run left it'
    )
