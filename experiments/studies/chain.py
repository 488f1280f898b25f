"""What studies measure on the models of the chain."""

from collections.abc import Mapping
from pathlib import Path

from experiments import launch
from rec_jax.runs import artefacts, shared_stages
from rec_jax.runs import workdir as workdirs
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate import ranking_comparison, recommenders

_STAGES = ('prepare', 'pretrain', 'finetune')


def two_tower_ranking(config: Config, root: Path) -> Mapping[str, Values]:
  """Trains the one variant of `finetune.variants` and ranks the next item and unseen items.

  Stages that other variants have in common with it are run once.
  """
  workdir = shared_stages.workdir_of(config, _STAGES, root)
  missing = [stage for stage in _STAGES if not workdirs.is_finished(workdir, stage)]
  launch.run_stages(missing, config, workdir)
  dataset = artefacts.load_dataset(workdir)
  model = recommenders.two_towers(
    config, workdir, config.finetune.variants, dataset.items.num_items
  )
  return ranking_comparison.per_query(config, dataset, model)
