"""What studies measure on the models of the chain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
from flax import nnx

from experiments import launch
from rec_jax.data.dataset import Dataset
from rec_jax.runs import artefacts, shared_stages
from rec_jax.runs import workdir as workdirs
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate import ranking_comparison, recommenders
from rec_jax.tasks import item_to_item, next_item
from rec_jax.training import step_cost
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


def encoder_tuning(config: Config, root: Path) -> Mapping[str, Values]:
  """Likewise, on rare items as well, and what tuning the encoder costs."""
  workdir, dataset = _run(config, _TRAINED, root)
  model = recommenders.two_towers(
    config, workdir, config.finetune.variants, dataset.items.num_items
  )
  found = ranking_comparison.next_item_per_query(config, dataset, model)
  found |= ranking_comparison.unseen_per_query(config, dataset, model)
  found |= ranking_comparison.rare_per_query(config, dataset, model)
  return found | _tuning_cost(config, workdir, dataset)


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


def _tuning_cost(config: Config, workdir: Path, dataset: Dataset) -> dict[str, Values]:
  """Parameters of the encoder that train, and memory and time of a step in which they do."""
  settings, seed = config.finetune, config.seed
  encoder = artefacts.load_encoder(config, workdir)
  task = next_item.task(
    settings.variants,
    encoder,
    next_item.catalogue_text(encoder, dataset, settings),
    dataset,
    settings,
    config.data.positive_rating,
    seed,
    item_to_item.spectrum(dataset, settings, seed),
  )
  of_encoder = nnx.All(nnx.PathContains('encoder'), task.trainable)
  trained = jax.tree.leaves(nnx.state(task.model, of_encoder))
  cost = step_cost.measure(task, task.phase(settings.encoder_start))
  found = {'parameters of the encoder that train': sum(leaf.size for leaf in trained)}
  # A count of none is no measurement, and a table would take a column of zeros for shares.
  found = found if trained else {}
  found |= {
    'peak memory of a step, MB': cost.peak_bytes / 1e6,
    'time of a step, ms': cost.seconds * 1e3,
  }
  return {name: Values([value], [f'seed {seed}']) for name, value in found.items()}


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
