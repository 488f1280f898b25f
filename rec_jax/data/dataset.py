"""A prepared data set: events, items, their text as tokens, and the split.

directory/dataset/      events and items as ArrayRecord, see `builder`
directory/items.npz     token ids and masks of the items' text
directory/corpus.npz    token ids and masks of unlabelled text
directory/*.parquet     columns of features of items, users and events, where there are any
directory/dataset.json  counts, notes, protocol, fingerprint, checksums
"""

import contextlib
import dataclasses
import functools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.data import builder, feature_encoding, features, splits
from rec_jax.data.feature_encoding import Encoded
from rec_jax.data.features import NOTHING, Features
from rec_jax.data.splits import Split
from rec_jax.types import InputError, Interactions, ItemTable

EVENTS = 'dataset'
ITEMS = 'items.npz'
CORPUS = 'corpus.npz'
SUMMARY = 'dataset.json'


@dataclasses.dataclass(frozen=True)
class Dataset:
  """What every later stage reads.

  Attributes:
    name: of the data set.
    interactions: E events.
    items: N items.
    split: the protocol applied to them.
    input_ids: [N, L] int32, tokens of the items' text.
    attention_mask: [N, L] int32.
    corpus_ids: [C, L] int32, tokens of unlabelled text that tells nothing of cold items.
    corpus_mask: [C, L] int32.
    fingerprint: sha256 of events and items.
    notes: what a reader of the numbers must know.
    features: of items, users and events, beside text.
  """

  name: str
  interactions: Interactions
  items: ItemTable
  split: Split
  input_ids: np.ndarray
  attention_mask: np.ndarray
  corpus_ids: np.ndarray
  corpus_mask: np.ndarray
  fingerprint: str
  notes: dict[str, int | str]
  features: Features = NOTHING

  @functools.cached_property
  def encoded(self) -> Encoded:
    """The features as vectors, fitted to the training events."""
    trained = splits.training_events(self.interactions, self.split)
    return feature_encoding.encode(self.features, self.interactions, self.items.num_items, trained)


def read(directory: str | os.PathLike[str]) -> Dataset:
  """Reads what the stage `prepare` has written.

  Raises:
    InputError: its files are damaged.
  """
  directory = Path(directory)
  summary = _verified_summary(directory)
  interactions, items = builder.read(directory / EVENTS)
  input_ids, attention_mask = _read_tokens(directory / ITEMS)
  corpus_ids, corpus_mask = _read_tokens(directory / CORPUS)
  return Dataset(
    name=summary['name'],
    interactions=interactions,
    items=items,
    split=splits.split(
      interactions, items.num_items, summary['cut'], summary['min_events'], summary['split']
    ),
    input_ids=input_ids,
    attention_mask=attention_mask,
    corpus_ids=corpus_ids,
    corpus_mask=corpus_mask,
    fingerprint=summary['fingerprint'],
    notes=summary['notes'],
    features=features.load(directory, summary['moment']),
  )


def checksums(directory: Path) -> dict[str, str]:
  """The sha256 of every data file of the stage by its path in it."""
  paths = [
    path for kind in ('*.npz', '*.parquet', f'{EVENTS}/**/*') for path in directory.glob(kind)
  ]
  digests = {}
  for path in sorted(path for path in paths if path.is_file()):
    digests[path.relative_to(directory).as_posix()] = files.sha256(path)
  return digests


def _verified_summary(directory: Path) -> dict[str, Any]:
  """What `dataset.json` says, if all files are still as it says.

  Checked before they are opened: how readers fail on damaged files is anyone's guess.
  """
  damaged = SUMMARY
  with contextlib.suppress(OSError, ValueError, KeyError):
    summary = json.loads((directory / SUMMARY).read_text())
    changed = set(summary['sha256'].items()) ^ set(checksums(directory).items())
    if not changed:
      return summary
    damaged = min(changed)[0]
  raise InputError(
    f'{directory / damaged} is damaged; delete {directory} '
    'and run python -m experiments.prepare again'
  )


def _read_tokens(path: Path) -> tuple[np.ndarray, np.ndarray]:
  with np.load(path) as tokens:
    return tokens['input_ids'], tokens['attention_mask']
