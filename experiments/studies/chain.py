"""What studies measure on the models of the chain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import launch
from rec_jax.data.dataset import Dataset
from rec_jax.runs import artefacts, shared_stages
from rec_jax.runs import workdir as workdirs
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate import ranking_comparison, recommenders
from rec_jax.types import InputError

_TRAINED = ('prepare', 'pretrain', 'finetune')


def two_tower_ranking(config: Config, root: Path) -> Mapping[str, Values]:
  """Trains the one variant of `finetune.variants` and ranks the next item and unseen items."""
  workdir, dataset = _run(config, _TRAINED, root)
  model = recommenders.two_towers(
    config, workdir, config.finetune.variants, dataset.items.num_items
  )
  return ranking_comparison.next_item_per_query(
    config, dataset, model
  ) | ranking_comparison.unseen_per_query(config, dataset, model)


def next_item_ranking(config: Config, baseline: str, root: Path) -> Mapping[str, Values]:
  """Ranks the next item by a baseline, or by the one variant of `finetune.variants` if empty."""
  workdir, dataset = _run(config, _TRAINED[:1] if baseline else _TRAINED, root)
  if baseline:
    model = recommenders.baselines(config, dataset)[baseline]
  else:
    model = recommenders.two_towers(
      config, workdir, config.finetune.variants, dataset.items.num_items
    )
  return ranking_comparison.next_item_per_query(config, dataset, model)


def pretrained(config: Config, root: Path) -> Path:
  """The workdir of a run that has come to its text encoder, made once for all parts."""
  workdir, _ = _run(config, _TRAINED[:2], root)
  # Where other runs have made all stages, nothing has said yet whose workdir it is.
  workdirs.claim(config, workdir, workdir)
  return workdir


def _run(config: Config, stages: Sequence[str], root: Path) -> tuple[Path, Dataset]:
  """Runs the stages that no other variant has run.

  Raises:
    InputError: a variant would train several seeds, which are those of other parts.
  """
  if config.num_seeds != 1:
    raise InputError('num_seeds is of runs, and each part of a study is one: set --num_seeds')
  workdir = shared_stages.workdir_of(config, stages, root)
  missing = [stage for stage in stages if not workdirs.is_finished(workdir, stage)]
  launch.run_stages(missing, config, workdir)
  return workdir, artefacts.load_dataset(workdir)
