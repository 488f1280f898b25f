"""Stage `distil`: a small student learns the teacher's logits.

Reads `prepare` and `finetune`. Writes `seed_<s>/model/`, see `tasks.distillation`.
"""

import dataclasses
import os

import jax

from rec_jax.runs import artefacts
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import distillation, full_ranking
from rec_jax.training import loop


def run(config: Config, workdir: str | os.PathLike[str]) -> None:
  """Writes `workdir/distil`, unless it is finished."""
  runs.require(workdir, 'finetune')
  stage_dir = runs.start(config, workdir, 'distil')
  if stage_dir is None:
    return
  dataset = artefacts.load_dataset(workdir)
  rows = []
  for seed in artefacts.seeds(config):
    teacher = artefacts.load_two_tower(config, workdir, 'teacher', seed, dataset.items.num_items)
    directory = stage_dir / f'seed_{seed}'
    with runs.timed(stage_dir, f'student {seed}'):
      task = distillation.task(
        teacher, dataset, config.distil, config.finetune, config.data.positive_rating, seed
      )
      state, parts = loop.train(task, directory, jax.random.key(seed), dataclasses.asdict(config))
      student = parts.merge(*state.best)
      artefacts.save_student(config, directory, student, int(state.best_step))
    rows += runs.validation_rows(
      *('distil', f'student seed {seed}', 'agreement', state),
      *(len(dataset.split.validation_event), full_ranking.excluded(dataset.interactions)),
    )
  runs.finish(stage_dir, rows)
