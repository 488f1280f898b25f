"""Stage `finetune`: the two-tower softmax model and its counterparts without text or ids.

Reads `prepare` and `pretrain`. Writes `seed_<s>/<variant>/model/`, see `tasks.next_item`, without
what tuning left of the encoder of `pretrain` as it was.
"""

import dataclasses
import os

import jax
from flax import nnx

from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.finetune import new_items, verdict
from rec_jax.tasks import (
  events,
  item_folds,
  item_to_item,
  next_item,
  text_encoders,
  zero_shot,
)
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
    variants = text_encoders.encode_variants(
      config.data, dataset.items.text.tolist(), settings.text_variants, config.seed
    )
    text = next_item.catalogue_text(encoder, dataset, settings)
    text = next_item.with_variants(text, encoder, variants, settings)
  asked = events.validation_queries(dataset, settings, config.data.positive_rating, config.seed)
  folds = item_folds.make(dataset, asked, config.seed)
  untrained = next_item.text_vectors(encoder, text, settings)
  directions = zero_shot.directions(untrained, dataset.split.trained_items)
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
          rows += verdict.rows(f'{variant} seed {seed}', chosen, directions, seed)
        if folds and variant == 'teacher':
          rows += new_items.rows(best, folds, settings.max_warm_loss, seed)
        artefacts.save_two_tower(config, directory, best, int(state.best_step), encoder)
      rows += runs.validation_rows(
        'finetune', f'{variant} seed {seed}', 'ndcg@10', state, len(dataset.split.validation_event)
      )
  runs.finish(stage_dir, rows)
