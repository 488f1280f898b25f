"""What studies measure on the models of the chain."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from configs import movielens as movielens_config
from experiments import launch
from rec_jax.data.dataset import Dataset
from rec_jax.runs import artefacts, shared_stages
from rec_jax.runs import workdir as workdirs
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values, override
from rec_jax.stages.evaluate import by_events, compared_models, ranking_comparison
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import baselines, events, item_to_item, next_item
from rec_jax.tasks.random_search import Trial
from rec_jax.training import step_cost
from rec_jax.types import InputError

# Ends the label of a share.
OF_EVENTS = ' of the events'

_TRAINED = ('prepare', 'pretrain', 'finetune')


def movielens(**parts: Any) -> Config:
  """The settings of `configs/movielens.py`, which studies change, with these parts in place."""
  return dataclasses.replace(movielens_config.get_config(), **parts)


def two_tower_ranking(config: Config, root: Path) -> Mapping[str, Values]:
  """Trains the one variant of `finetune.variants` and ranks the next item and unseen items."""
  dataset, model = two_tower(config, root)
  return ranking_comparison.next_item_per_query(
    config, dataset, model
  ) | ranking_comparison.unseen_per_query(config, dataset, model)


def next_item_ranking(config: Config, root: Path) -> Mapping[str, Values]:
  """Trains the one variant of `finetune.variants` and ranks the next item."""
  dataset, model = two_tower(config, root)
  return ranking_comparison.next_item_per_query(config, dataset, model)


def encoder_tuning(config: Config, root: Path) -> Mapping[str, Values]:
  """Ranks the next item and items by their training events, and says what tuning costs."""
  workdir, dataset = _run(config, _TRAINED, root)
  model = compared_models.two_towers(
    config, workdir, config.finetune.variants, dataset.items.num_items
  )
  found = ranking_comparison.next_item_per_query(config, dataset, model)
  found |= by_events.per_query(config, dataset, model)
  return found | _tuning_cost(config, workdir, dataset)


@dataclasses.dataclass
class CutsConfig:
  """One model over several cuts.

  Attributes:
    seed: of the models.
    model: a baseline's name, or empty for the variant of `chain.finetune.variants`.
    cuts: shares of the events before the cut, separated by commas.
    chain: settings of the models and of the data.
  """

  seed: int = 0
  model: str = ''
  cuts: str = '0.5,0.6,0.7,0.8,0.9'
  chain: Config = dataclasses.field(default_factory=lambda: movielens())


def next_item_over_cuts(config: CutsConfig, root: Path) -> Mapping[str, Values]:
  """The metrics of the next item, over all cuts; raises as `_over_cuts`."""
  return _over_cuts(config, ranking_comparison.next_item_per_query, root)


def by_events_over_cuts(config: CutsConfig, root: Path) -> Mapping[str, Values]:
  """Likewise, and of the events after the cut by what is known of their item."""

  def both(config: Config, dataset: Dataset, model: ComparedModel) -> dict[str, Values]:
    next_item = ranking_comparison.next_item_per_query(config, dataset, model)
    return next_item | by_events.per_query(config, dataset, model)

  return _over_cuts(config, both, root)


def _over_cuts(
  config: CutsConfig,
  per_query: Callable[[Config, Dataset, ComparedModel], Mapping[str, Values]],
  root: Path,
) -> Mapping[str, Values]:
  """What `per_query` says of the model at each cut; raises as `over_cuts`."""

  def at_cut(settings: Config) -> Mapping[str, Values]:
    if config.model:
      dataset = prepared(settings, root)
      model = compared_models.baselines(settings, dataset)[config.model]
    else:
      dataset, model = two_tower(settings, root)
    return per_query(settings, dataset, model)

  return over_cuts(config, at_cut)


def over_cuts(
  config: CutsConfig, at_cut: Callable[[Config], Mapping[str, Values]]
) -> Mapping[str, Values]:
  """What `at_cut` measures under the settings of each cut, one after another.

  Raises:
    InputError: the cuts are no shares, or a setting of the chain is the study's own to set.
  """
  own = Config()
  if config.chain.seed != own.seed or config.chain.data.cut != own.data.cut:
    raise InputError('chain.seed and chain.data.cut are set by --config.seed and --config.cuts')
  found: dict[str, list[Values]] = {}
  for cut in _shares(config.cuts):
    settings = override(config.chain, {'seed': config.seed, 'data.cut': cut})
    for metric, values in at_cut(settings).items():
      found.setdefault(metric, []).append(values)
  return {metric: _joined(parts) for metric, parts in found.items()}


def prepared(config: Config, root: Path) -> Dataset:
  """The data of a run, prepared once for all parts."""
  return _run(config, _TRAINED[:1], root)[1]


def two_tower(config: Config, root: Path) -> tuple[Dataset, ComparedModel]:
  """The data of a run and its model of the one variant of `finetune.variants`, trained once."""
  workdir, dataset = _run(config, _TRAINED, root)
  return dataset, compared_models.two_towers(
    config, workdir, config.finetune.variants, dataset.items.num_items
  )


def tuned_baseline(
  name: str, config: Config, dataset: Dataset, num_trials: int
) -> tuple[ComparedModel, list[Trial]]:
  """A baseline of the registry, tuned on validation events, and its trials, the best first."""
  validation = events.validation_queries(
    dataset, config.finetune, config.data.positive_rating, config.seed
  )
  trials = baselines.tune(name, dataset, validation, num_trials, config.seed)
  best = trials[0].settings
  score = baselines.fit(name, baselines.training_events(dataset), best, config.seed)
  return ComparedModel([score], best), trials


def _joined(parts: Sequence[Values]) -> Values:
  value, unit = (np.concatenate([part[place] for part in parts]) for place in (0, 1))
  items = [part.item for part in parts if part.item is not None]
  return Values(value, unit, np.concatenate(items) if items else None)


def _shares(cuts: str) -> list[float]:
  try:
    return [float(cut) for cut in cuts.split(',')]
  except ValueError:
    raise InputError(f'cuts is "{cuts}"; set --config.cuts to shares, as 0.5,0.7,0.9') from None


def shares_of_events(shares: str) -> dict[str, float]:
  """Label -> share of the training events, from a list with commas.

  Raises:
    InputError: one is none.
  """
  try:
    found = [float(share) for share in shares.split(',')]
  except ValueError:
    found = [0.0]
  if not all(0 < share <= 1 for share in found):
    raise InputError(f'shares is "{shares}"; set --config.shares to shares, as 0.01,0.1,1')
  return {f'{100 * share:g}%{OF_EVENTS}': share for share in found}


def pretrained(config: Config, root: Path) -> Path:
  """The workdir of a run that has come to its text encoder, made once for all parts."""
  workdir, _ = _run(config, _TRAINED[:2], root)
  # Where other runs have made all stages, nothing has said yet whose workdir it is.
  workdirs.claim(config, workdir, workdir)
  return workdir


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
