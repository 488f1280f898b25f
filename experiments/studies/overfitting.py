"""Which remedy against overfitting helps the two-tower model, by how many events there are?"""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from experiments.studies import chain
from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config
from rec_jax.runs.study import Study, Values
from rec_jax.tasks import (
  catalogue_text,
  full_ranking,
  item_to_item,
  next_item,
  text_encoders,
  two_tower_model,
)
from rec_jax.tasks.catalogue_text import CatalogueText
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.training import loop

NONE = 'none'
# Training events that are ranked for the gap.
_MOST_LEARNT = 1000
# What a run does without being asked.
_DEFAULTS = FinetuneConfig()


def _without() -> Config:
  """A model of text and ids with no remedy; the encoder rests and no linear path is added."""
  return chain.movielens(
    finetune=FinetuneConfig(
      variants='teacher',
      linear_rank=0,
      dropout_rate=0.0,
      id_dropout_rate=0.0,
      weight_decay=0.0,
      ema_decay=0.0,
      max_drop_rate=0.0,
      patience=0,
      num_steps=400,
      num_predictions=200,
      validate_every=25,
      encoder_method='frozen',
    )
  )


_DROPOUT = {
  'dropout_rate': _DEFAULTS.dropout_rate,
  'id_dropout_rate': _DEFAULTS.id_dropout_rate,
}
_STOPPING = {'patience': _DEFAULTS.patience}
_DECAY = {'weight_decay': _DEFAULTS.weight_decay}
_AVERAGE = {'ema_decay': _DEFAULTS.ema_decay}
_FEWER = {'max_drop_rate': _DEFAULTS.max_drop_rate}
REMEDIES: Mapping[str, Mapping[str, float | str]] = {
  NONE: {},
  'the default ones': _DROPOUT | _STOPPING | _DECAY | _AVERAGE | _FEWER,
  'dropout': _DROPOUT,
  'early stopping': _STOPPING,
  'weight decay': _DECAY,
  'averaged weights': _AVERAGE,
  'R-Drop, with dropout': _DROPOUT | {'consistency_weight': 1.0},
  'FGM': {'adversary': 'fgm'},
  'PGD': {'adversary': 'pgd'},
  'FreeLB': {'adversary': 'freelb'},
  'synonyms': {'text_variants': 'synonyms'},
  'back-translation': {'text_variants': 'translation'},
  'words deleted': {'text_variants': 'deletion'},
  'texts cropped': {'text_variants': 'crop'},
  'events dropped': _FEWER,
  'histories cropped': {'max_crop_rate': 0.5},
  'events masked': {'max_mask_rate': 0.5},
  'events reordered': {'max_reorder_rate': 0.5},
}


@dataclasses.dataclass
class OverfittingConfig:
  """One remedy with several numbers of events.

  Attributes:
    seed: of the events that are kept and of the model.
    shares: of the training events, separated by commas.
    chain: settings of the data and of the model without its remedy.
  """

  seed: int = 0
  shares: str = '0.01,0.1,1'
  chain: Config = dataclasses.field(default_factory=_without)


def get_study() -> Study:
  """Each remedy by itself, and those that are on by default together."""
  return Study(
    title='Which remedy against overfitting helps, by how many events there are?',
    protocol=(
      'two-tower model of text and ids on {config.chain.data.source}, '
      '{config.chain.finetune.num_steps} steps on the histories of users drawn by the seed, which '
      'are shares {config.shares} of the training events; the held-out event of each ranked user '
      '(split {config.chain.data.split}) in the whole catalogue; gap: NDCG@10 of training events '
      'less that of the validation event of the same user; weights of the last step, with early '
      'stopping those of the best validation'
    ),
    config=OverfittingConfig(),
    variants={
      label: {f'chain.finetune.{name}': value for name, value in fields.items()}
      for label, fields in REMEDIES.items()
    },
    baseline=NONE,
    seeds=range(5),
    measure=measure,
  )


def measure(config: OverfittingConfig, root: Path) -> Mapping[str, Values]:
  """NDCG@10 and recall@10 of the test events, and the gap of NDCG@10, for each share.

  Raises:
    InputError: the shares are none.
  """
  settings = config.chain.finetune
  # The same for all remedies.
  own = dataclasses.replace(_without().finetune, encoder_blocks=settings.encoder_blocks)
  workdir = chain.pretrained(dataclasses.replace(config.chain, finetune=own), root)
  dataset, encoder, text = _catalogue(workdir)
  variants = text_encoders.encode_variants(
    config.chain.data, dataset.items.text.tolist(), settings.text_variants, config.seed
  )
  text = catalogue_text.with_variants(text, encoder, variants)
  found = {}
  for label, share in chain.shares_of_events(config.shares).items():
    split = splits.thin(dataset.interactions, dataset.split, share, config.seed)
    thinned = dataclasses.replace(dataset, split=split)
    for metric, values in _of_share(config, encoder, text, thinned).items():
      found[f'{label}, {metric}'] = values
  return found


@functools.cache
def _catalogue(workdir: Path) -> tuple[Dataset, TextEncoder, CatalogueText]:
  """What the run in a workdir prepared, encoded once for all parts."""
  config = artefacts.load_config(workdir)
  dataset = artefacts.load_dataset(workdir)
  encoder = artefacts.load_encoder(config, workdir)
  return dataset, encoder, next_item.catalogue_text(encoder, dataset, config.finetune)


def _of_share(
  config: OverfittingConfig, encoder: TextEncoder, text: CatalogueText, dataset: Dataset
) -> dict[str, Values]:
  """Trains a model and ranks what it has learnt from and what it has not."""
  data, settings = config.chain.data, config.chain.finetune
  model = _trained(config, encoder, text, dataset)

  def ranked(events: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """User and metrics of events."""
    asked = full_ranking.queries(dataset, events, settings.history_length, data.positive_rating)
    return asked.user, full_ranking.rank_targets(
      two_tower_model.answers(model),
      asked,
      np.ones(dataset.items.num_items, bool),
    )

  rng = np.random.default_rng(config.seed)
  train = np.flatnonzero(splits.training_events(dataset.interactions, dataset.split))
  user, tested = ranked(dataset.split.test_event)
  learnt_user, learnt = ranked(rng.permutation(train)[:_MOST_LEARNT])
  judged_user, judged = ranked(dataset.split.validation_event)
  found = {name: Values(tested[name.lower()], user) for name in ('NDCG@10', 'recall@10')}
  has_both = np.isin(learnt_user, judged_user)
  if has_both.any():
    place = np.searchsorted(judged_user, learnt_user[has_both])
    gap = learnt['ndcg@10'][has_both] - judged['ndcg@10'][place]
    found['gap'] = Values(gap, learnt_user[has_both])
  return found


def _trained(
  config: OverfittingConfig,
  encoder: TextEncoder,
  text: CatalogueText,
  dataset: Dataset,
) -> two_tower_model.TwoTowerModel:
  """The model after its last step, or with early stopping at its best validation."""
  settings = config.chain.finetune
  if not settings.patience:
    # Nothing hangs on a validation.
    settings = dataclasses.replace(settings, validate_every=settings.num_steps)
  task = next_item.task(
    'teacher',
    nnx.clone(encoder),
    text,
    dataset,
    settings,
    config.chain.data.positive_rating,
    config.seed,
    item_to_item.spectrum(dataset, settings, config.seed),
  )
  with tempfile.TemporaryDirectory() as directory:
    key = jax.random.key(config.seed)
    state, parts = loop.train(task, directory, key, dataclasses.asdict(config))
  chosen = state.best if settings.patience else (state.average, state.cache)
  model = nnx.view(parts.merge(*chosen), deterministic=True)
  next_item.complete(model, text)
  return model
