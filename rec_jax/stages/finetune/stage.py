"""Stage `finetune`: the two-tower softmax model and its counterparts without text or ids.

Reads `prepare` and `pretrain`. Writes `seed_<s>/<variant>/model/`, see `tasks.next_item`, without
what tuning left of the encoder of `pretrain` as it was.
"""

import os

from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.finetune import fit
from rec_jax.tasks import catalogue_text, full_ranking, next_item, text_encoders


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/finetune`, unless it is finished."""
  runs.require(workdir, 'pretrain')
  stage_dir = runs.start(config, workdir, 'finetune')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  encoder = artefacts.load_encoder(config, workdir)
  settings, rows = config.finetune, []
  excluded = full_ranking.excluded(dataset.interactions)
  with runs.timed(stage_dir, 'encode catalogue'):
    variants = text_encoders.encode_variants(
      config.data, dataset.items.text.tolist(), settings.text_variants, config.seed
    )
    text = next_item.catalogue_text(encoder, dataset, settings)
    text = catalogue_text.with_variants(text, encoder, variants)
  common = fit.shared(config, dataset, encoder, text)
  for seed in artefacts.seeds(config):
    for variant in settings.variants.split(','):
      directory = stage_dir / f'seed_{seed}' / variant
      with runs.timed(stage_dir, f'{variant} {seed}'):
        model, state, found = fit.fit(variant, common, config, seed, directory)
        artefacts.save_two_tower(config, directory, model, int(state.best_step), encoder)
      rows += found
      number = len(dataset.split.validation_event)
      rows += runs.validation_rows(
        'finetune', f'{variant} seed {seed}', 'ndcg@10', state, number, excluded
      )
  runs.finish(stage_dir, rows)
