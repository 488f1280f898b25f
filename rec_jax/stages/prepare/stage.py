"""Stage `prepare`: raw files to indexed events, item text as tokens, and the split.

Reads the sources alone. Writes `dataset/` (ArrayRecord), `items.npz` and `corpus.npz` (token ids
and masks), a `.parquet` for each kind of features, and `dataset.json` (counts, notes, protocol,
fingerprint).
"""

import datetime
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from rec_jax import files
from rec_jax.data import (
  builder,
  corpus,
  dataset,
  feature_encoding,
  features,
  sources,
  splits,
  ties,
)
from rec_jax.data.config import DataConfig
from rec_jax.data.features import Features
from rec_jax.data.formats.registry import FORMATS
from rec_jax.data.splits import Split
from rec_jax.data.tables import Tables, read_tables, take_first
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import text_encoders
from rec_jax.types import InputError, Interactions, ItemTable

logger = logging.getLogger(__name__)


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/prepare`, unless it is finished.

  Raises:
    InputError: the input is wrong (the workdir is then left as it was), or `workdir` belongs to a
      run of another config.
  """
  with runs.unchanged_on_bad_input(workdir):
    stage_dir = runs.start(config, workdir, 'prepare')
    if stage_dir is not None:
      if config.pretrain.corpus:
        # Better now than when the next stage reads it.
        corpus.paths(config.pretrain.corpus)
      with runs.timed(stage_dir, 'prepare'):
        summary = _prepare(config.data, stage_dir)
      runs.record(workdir, dataset=summary['name'], fingerprint=summary['fingerprint'])
      runs.record(workdir, text_model=text_encoders.fingerprint(config.data))
      runs.finish(stage_dir, _rows(summary))


def _prepare(config: DataConfig, stage_dir: Path) -> dict[str, Any]:
  """Writes all files of the stage and returns what `dataset.json` says."""
  text_encoders.check(config)
  tables = take_first(ties.drawn(_tables(config)), config.used_fraction)
  builder.write(tables, stage_dir / dataset.EVENTS)
  interactions, items = builder.read(stage_dir / dataset.EVENTS)
  split = splits.split(interactions, items.num_items, config.cut, config.min_events, config.split)
  _check_ratings(interactions, split, config.positive_rating)
  told = features.read(config, tables.interactions, interactions.user_ids, items.ids)
  _check_features(config, told, interactions, items, split)
  features.write(told, stage_dir)
  cut_time = datetime.datetime.fromtimestamp(
    int(interactions.timestamp[split.num_before]), datetime.UTC
  )
  corpus = _corpus(config, items, split, cut_time.year - 1)
  counts = _counts(interactions, items, split) | {'corpus_texts': len(corpus)}
  for name, kind, texts in (
    (dataset.ITEMS, 'item_texts', items.text.tolist()),
    (dataset.CORPUS, 'corpus_texts', corpus),
  ):
    tokens = text_encoders.encode(config, texts)
    np.savez(stage_dir / name, input_ids=tokens.input_ids, attention_mask=tokens.attention_mask)
    counts[f'{kind}_cut'] = tokens.num_cut
    logger.info(
      '%s: %d of %d have more than data.text_length=%d tokens and are cut there',
      *(kind.replace('_', ' '), tokens.num_cut, len(texts), config.text_length),
    )
  summary = {
    'name': tables.name,
    'licence': tables.licence,
    'notes': tables.notes,
    'cut': config.cut,
    'cut_time': cut_time.isoformat(),
    'min_events': config.min_events,
    'split': config.split,
    'younger_share': splits.younger_share(split),
    'counts': counts,
    'moment': told.moment,
    'fingerprint': builder.fingerprint(interactions, items, told),
    'sha256': dataset.checksums(stage_dir),
  }
  files.write_json(stage_dir / dataset.SUMMARY, summary)
  return summary


# Fields of the config that name what tables alone have.
_COLUMNS = (
  *('item_categories', 'item_numbers', 'users', 'user_categories', 'user_numbers'),
  'event_numbers',
)


def _tables(config: DataConfig) -> Tables:
  _require_fitting_files(config)
  if config.source == 'movielens':
    return sources.movielens()
  return FORMATS.get(config.source, read_tables)(config)


def _require_fitting_files(config: DataConfig) -> None:
  """Files that the source does not read would else be passed over without a word."""
  published = config.source in FORMATS
  if config.folder and not published:
    raise InputError(
      f'data.folder is given, which data.source={config.source} does not read; set '
      f'--config.data.source to {" or ".join(FORMATS)}'
    )
  told = [name for name in _COLUMNS if getattr(config, name)]
  if told and config.source != 'tables':
    raise InputError(
      f'data.{told[0]} is given, which data.source={config.source} does not read; leave '
      f'--config.data.{told[0]} out, or give your own tables by --config=configs/tables.py'
    )
  if config.items and published:
    raise InputError(
      f'data.items is given, but data.source={config.source} finds its items in data.folder; leave '
      '--config.data.items out'
    )


def _check_features(
  config: DataConfig,
  told: Features,
  interactions: Interactions,
  items: ItemTable,
  split: Split,
) -> None:
  """Columns of which nothing can be learnt would else be passed over without a word."""
  trained = splits.training_events(interactions, split)
  encoders = feature_encoding.encode(told, interactions, items.num_items, trained).encoders
  for kind in ('item', 'user', 'event'):
    feature_encoding.check(getattr(encoders, f'{kind}s'), kind, config.max_categories)


def _check_ratings(interactions: Interactions, split: Split, threshold: float) -> None:
  """Where no rating is a reward, or all are, there is nothing to learn."""
  if interactions.rating is None:
    return
  liked = interactions.rating >= threshold
  if not liked.any():
    raise InputError(
      f'no rating reaches data.positive_rating={threshold:g}: the highest is '
      f'{interactions.rating.max():g}; set --config.data.positive_rating to that or less'
    )
  parts = {'before': liked[: split.num_before], 'after': liked[split.num_before :]}
  for where, part in parts.items():
    if part.all() or not part.any():
      logger.warning(
        '%s of the %d ratings %s the cut reach data.positive_rating=%g: rewards are the same for '
        'every item',
        *('all' if part.all() else 'none', len(part), where, threshold),
      )


def _corpus(config: DataConfig, items: ItemTable, split: Split, last_year: int) -> list[str]:
  """Unlabelled text that was there before the cut.

  Films are dated by year alone, so those of the year of the cut are left out with the later ones.
  """
  if config.source == 'movielens':
    return sources.film_corpus(last_year, items.ids[split.new_items].tolist())
  return items.text[~split.new_items].tolist()


def _counts(interactions: Interactions, items: ItemTable, split: Split) -> dict[str, int]:
  late_user = np.unique(interactions.user[split.num_before :])
  late_item = interactions.item[split.num_before :]
  return {
    'events': interactions.num_events,
    'users': interactions.num_users,
    'items': items.num_items,
    'events_before_cut': split.num_before,
    'users_before_cut': int((~split.cold_users).sum()),
    'validation_users': len(np.unique(interactions.user[split.validation_event])),
    'ranked_users': len(np.unique(interactions.user[split.test_event])),
    'training_events': int(split.train_mask.sum()),
    'users_after_cut': len(late_user),
    'known_users_after_cut': int((~split.cold_users[late_user]).sum()),
    'cold_items': int(split.cold_items.sum()),
    'events_on_cold_items': int(split.cold_items[late_item].sum()),
  }


def _rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
  protocol = (
    f'events by (timestamp, source row), cut at {summary["cut"]:.0%}, '
    f'ranked users with at least {summary["min_events"]} events before it, {summary["split"]}'
  )
  values = summary['counts'] | {'younger_training_share': summary['younger_share']}
  return [
    runs.count_row('prepare', summary['name'], metric, value, summary['counts']['events'], protocol)
    for metric, value in values.items()
  ]
