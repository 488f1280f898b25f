"""Which model ranks the next item best where every one of them has been tuned alike?"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from experiments.studies import chain
from rec_jax import files, host
from rec_jax.data.config import DataConfig
from rec_jax.data.dataset import Dataset
from rec_jax.models.baselines import registry
from rec_jax.models.baselines.registry import Hyperparameters, Range
from rec_jax.runs.config import Config
from rec_jax.runs.study import Study, Values, override
from rec_jax.stages.evaluate import ranking_comparison
from rec_jax.stages.evaluate.compared_models import ID_ONLY, TEACHER, ComparedModel
from rec_jax.tasks import baselines, events, random_search
from rec_jax.tasks.random_search import Trial

# What a trial of a two-tower model sets, beside what it chooses by itself.
TWO_TOWER_SPACE = {
  'finetune.learning_rate': Range(2e-3, 3e-4, 1e-2),
  'finetune.dropout_rate': Range(0.3, 0.0, 0.6, is_log=False),
  'finetune.weight_decay': Range(0.1, 1e-3, 1.0),
}
TWO_TOWERS = {ID_ONLY: 'id_only', TEACHER: 'teacher'}
LEFT_OUT = 'left out, GB that it takes'


@dataclasses.dataclass
class BaselinesConfig(chain.CutsConfig):
  """One model over several cuts, tuned anew at each.

  Attributes:
    num_trials: settings that are tried of a model with any, the defaults first.
    two_tower_trials: the same of two-tower models, each of which is trained; fewer than the others
      have are an advantage of the others.
    memory_bound: bytes that a fit may take, if the machine has twice as many; a baseline that takes
      more is left out.
  """

  num_trials: int = 10
  two_tower_trials: int = 10
  memory_bound: float = 16e9


def get_study() -> Study:
  """Every baseline of the registry, and the two-tower models."""
  models = {baseline.title: name for name, baseline in registry.BASELINES.items()} | TWO_TOWERS
  return Study(
    title='Which model ranks the next item best where all are tuned alike?',
    protocol=(
      'cuts at {config.cuts} of the events, split {config.chain.data.split}; each model tuned by '
      'random search of {config.num_trials} trials (two-tower models {config.two_tower_trials}, '
      'each of them trained) by NDCG@10 of the validation events before the cut, and fitted on the '
      'training events; whole catalogue, seen items excluded, the last '
      '{config.chain.finetune.history_length} events read; the unit is the user, judged at one cut '
      'or more'
    ),
    config=BaselinesConfig(chain=chain.movielens(data=DataConfig(split='global_time'))),
    variants={title: {'model': name} for title, name in models.items()},
    baseline='popularity',
    seeds=range(3),
    measure=measure,
  )


def measure(config: BaselinesConfig, root: Path) -> Mapping[str, Values]:
  """The metrics of the next item over all cuts, of one model."""

  def at_cut(settings: Config) -> Mapping[str, Values]:
    if config.model in TWO_TOWERS.values():
      dataset, model, trials = _two_tower(config, settings, root)
    else:
      dataset = chain.prepared(settings, root)
      size = (dataset.interactions.num_users, dataset.items.num_items)
      limit = min(config.memory_bound, host.memory() / 2)
      if line := registry.left_out(config.model, *size, limit):
        print(line)
        taken = registry.get(config.model).num_bytes(*size) / 1e9
        return {LEFT_OUT: Values([taken], [f'cut {settings.data.cut}'])}
      model, trials = chain.tuned_baseline(config.model, settings, dataset, config.num_trials)
    _write(root, config, settings.data.cut, trials)
    return ranking_comparison.next_item_per_query(settings, dataset, model)

  return chain.over_cuts(config, at_cut)


def _two_tower(
  config: BaselinesConfig, settings: Config, root: Path
) -> tuple[Dataset, ComparedModel, list[Trial]]:
  """The two-tower model of the best trial; a trial is a run of the stage `finetune`."""

  def trained(chosen: Hyperparameters) -> tuple[Dataset, ComparedModel]:
    fields = {'finetune.variants': config.model, **chosen}
    return chain.two_tower(override(settings, fields), root)

  def objective(chosen: Hyperparameters) -> float:
    dataset, model = trained(chosen)
    validation = events.validation_queries(
      dataset, settings.finetune, settings.data.positive_rating, settings.seed
    )
    return baselines.ndcg(model.scores[0], validation, dataset.items.num_items)

  trials = random_search.search(objective, TWO_TOWER_SPACE, config.two_tower_trials, settings.seed)
  return *trained(trials[0].settings), trials


def _write(root: Path, config: BaselinesConfig, cut: float, trials: list[Trial]) -> None:
  """All trials of a model, the best first."""
  folder = root / 'trials'
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / f'{config.model}, cut {cut}, seed {config.seed}.json'
  files.write_json(path, [{'ndcg@10': trial.value, **trial.settings} for trial in trials])
