"""Stage `finetune`: the two-tower softmax model and its counterparts without text or ids.

Reads `prepare` and `pretrain`. Writes `seed_<s>/<variant>/model/`, see `tasks.next_item`.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.finetune import new_items
from rec_jax.tasks import events, item_folds, item_to_item, next_item, saved_models
from rec_jax.training import loop


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/finetune`, unless it is finished."""
  runs.require(workdir, 'pretrain')
  stage_dir = runs.start(config, workdir, 'finetune')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  encoder = artefacts.load_encoder(config, workdir)
  settings, rows = config.finetune, []
  with runs.timed(stage_dir, 'encode catalogue'):
    text = next_item.catalogue_text(encoder, dataset, settings)
  asked = events.validation_queries(dataset, settings, config.data.positive_rating, config.seed)
  folds = item_folds.make(dataset, asked, config.seed)
  spectrum = item_to_item.spectrum(dataset, settings, config.seed)
  for seed in artefacts.seeds(config):
    for variant in settings.variants.split(','):
      directory = stage_dir / f'seed_{seed}' / variant
      with runs.timed(stage_dir, f'{variant} {seed}'):
        task = next_item.task(
          variant,
          nnx.clone(encoder),
          text,
          dataset,
          settings,
          config.data.positive_rating,
          seed,
          spectrum,
        )
        state, parts = loop.train(task, directory, jax.random.key(seed), dataclasses.asdict(config))
        best = nnx.view(parts.merge(*state.best), deterministic=True)
        next_item.complete(best, text, settings)
        if rank := item_to_item.rank(variant, settings, dataset.items.num_items):
          chosen = item_to_item.add(best, spectrum, rank, asked)
          rows += _path_rows(f'{variant} seed {seed}', chosen, len(asked))
        if folds and variant == 'teacher':
          rows += new_items.rows(best, folds, settings.max_warm_loss, seed)
        saved_models.save(
          directory / 'model', best, int(state.best_step), dataclasses.asdict(config)
        )
      rows += runs.validation_rows(
        'finetune', f'{variant} seed {seed}', 'ndcg@10', state, len(dataset.split.validation_event)
      )
  runs.finish(stage_dir, rows)


def _path_rows(subject: str, chosen: Mapping[str, float], num_queries: int) -> list[dict[str, Any]]:
  """What was chosen of the linear path."""
  return [
    runs.estimate_row(
      'finetune',
      subject,
      f'linear path, {name}',
      Estimate(value, np.nan, np.nan, num_queries),
      'best NDCG@10 of the validation events among known items',
    )
    for name, value in chosen.items()
  ]
