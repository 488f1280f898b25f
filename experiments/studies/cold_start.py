"""What is a recommender worth where little is known, and how soon is more known by exploring?"""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.studies import chain, cold_start_results
from rec_jax.data import split_protocols, splits
from rec_jax.data.dataset import Dataset
from rec_jax.models.baselines import registry
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config, FinetuneConfig
from rec_jax.runs.study import Study, Values, override
from rec_jax.stages.evaluate import by_events, by_history
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.stages.explore import chain as explore_chain
from rec_jax.stages.explore import item_learning, worlds
from rec_jax.stages.explore.item_learning import Learning, NewItems
from rec_jax.stages.finetune import fit
from rec_jax.tasks import next_item

# Of the registry; what is to be tuned of each is tuned.
BASELINES = ('popularity', 'recent_popularity', 'ease')
TWO_TOWERS = {'id': 'id_only', 'text': 'text_only', 'both': 'teacher'}
_NUM_TRIALS = 10
_NOTHING = Values([], [], [])


@dataclasses.dataclass
class ColdStartConfig:
  """One model, or one policy.

  Attributes:
    seed: of the model, or of the runs of the policy.
    model: a baseline's name, or empty for the variant of `chain.finetune.variants`.
    explorer: of a policy, one of `item_learning.EXPLORERS`; empty for a model.
    belief: of a policy, one of `item_learning.BELIEFS`.
    num_runs: of a policy, side by side.
    chain: settings of the data and of the models.
  """

  seed: int = 0
  model: str = ''
  explorer: str = ''
  belief: str = ''
  num_runs: int = 8
  chain: Config = dataclasses.field(
    default_factory=lambda: chain.movielens(finetune=FinetuneConfig(encoder_method='frozen'))
  )


def get_study() -> Study:
  """Models by the events of items and of users, and policies by how soon they know new items."""
  variants = {registry.get(name).title: {'model': name} for name in BASELINES}
  variants |= {name: {'chain.finetune.variants': kind} for name, kind in TWO_TOWERS.items()}
  for belief in item_learning.BELIEFS:
    for explorer in item_learning.EXPLORERS:
      label = cold_start_results.policy(explorer, belief)
      variants[label] = {'explorer': explorer, 'belief': belief}
  return Study(
    title='What is a recommender worth where little is known, and how soon is more known?',
    protocol=(
      'models of {config.chain.data.source}; by the events of the item: at most 2,000 events after '
      'the cut at {config.chain.data.cut} a group of items with that many training events, in the '
      'whole catalogue and among the items of the group; by the history: the held-out event of '
      'each ranked user (split {config.chain.data.split}), whole catalogue, a model reading the '
      'last so many events before it, at most {config.chain.finetune.history_length}; seen items '
      'excluded whether read or not; EASE orders by popularity where it reads none; policies: '
      f'{worlds.RATED}, a model of text and ids on the split {split_protocols.COLD_ITEM}, a fifth '
      'of the items and those without an event before the cut being new, if '
      f'{item_learning.NUM_LOGGED} visitors and {item_learning.FEWEST_JUDGES} judges rated them; a '
      'third of the users judge and never visit; a new item is known from when on the squared '
      'error of its predicted reward, over the judges, is no more than it is on average after '
      f'{item_learning.NUM_LOGGED} rewards of random visitors; a round is a visit; '
      '{config.num_runs} runs, two-way intervals over runs and items; medians of '
      'right-censored times (Kaplan-Meier)'
    ),
    config=ColdStartConfig(),
    variants=variants,
    baseline='popularity',
    seeds=range(5),
    measure=measure,
    compare=cold_start_results.COMPARE,
    draw=cold_start_results.draw,
    further=cold_start_results.further,
  )


def measure(config: ColdStartConfig, root: Path) -> Mapping[str, Values]:
  """The metrics of one model, or of one policy."""
  settings = override(config.chain, {'seed': config.seed})
  if config.explorer:
    return _of_policy(config, settings, root)
  if config.model:
    dataset = chain.prepared(settings, root)
    model = _baseline(config.model, settings, dataset)
  else:
    dataset, model = chain.two_tower(settings, root)
  found = by_events.per_query(settings, dataset, model)
  empty = dict.fromkeys(by_events.metrics(), _NOTHING)
  return empty | found | by_history.per_query(settings, dataset, model)


def new_items(settings: Config, root: Path) -> tuple[Dataset, NewItems]:
  """The world after the cut in which the items that no model has read are new."""
  dataset, vectors = _fitted_without_them(chain.pretrained(settings, root))
  split = dataset.split
  first, num_before = splits.first_meetings(dataset.interactions, split.num_before)
  known, num_known = item_learning.as_if_new(first, num_before, split.new_items)
  world = worlds.build(
    worlds.RATED,
    known,
    num_known,
    dataset.items.num_items,
    vectors,
    settings.data.positive_rating,
    settings.explore.max_visitors,
    settings.explore,
    settings.seed,
  )
  world = explore_chain.with_features(world, vectors, settings)
  return dataset, item_learning.select(world, settings.seed)


@functools.lru_cache(maxsize=1)
def _fitted_without_them(workdir: Path) -> tuple[Dataset, np.ndarray]:
  """The data of a run split by items, and the items [N, D] of a model that has read none of them.

  The encoder is that of the run: the text of a new item is no secret.
  """
  config = artefacts.load_config(workdir)
  dataset = artefacts.load_dataset(workdir)
  split = splits.split(
    dataset.interactions,
    dataset.items.num_items,
    config.data.cut,
    config.data.min_events,
    split_protocols.COLD_ITEM,
  )
  dataset = dataclasses.replace(dataset, split=split)
  encoder = artefacts.load_encoder(config, workdir)
  text = next_item.catalogue_text(encoder, dataset, config.finetune)
  common = fit.shared(config, dataset, encoder, text)
  with tempfile.TemporaryDirectory() as directory:
    model = fit.fit(TWO_TOWERS['both'], common, config, config.seed, directory).model
  return dataset, np.asarray(model.towers.items.vectors())


def _of_policy(config: ColdStartConfig, settings: Config, root: Path) -> dict[str, Values]:
  dataset, new = new_items(settings, root)
  print(new.described())
  if not len(new.items):
    return dict.fromkeys(cold_start_results.OF_POLICIES, _NOTHING)
  learning = item_learning.learn(
    new,
    item_learning.belief_of(config.belief, new.world),
    item_learning.EXPLORERS[config.explorer](),
    config.num_runs,
    config.seed,
    settings.explore.memory_bound,
  )
  return _per_run_and_item(learning, dataset.items.ids[new.items], config.seed)


def _per_run_and_item(learning: Learning, ids: np.ndarray, seed: int) -> dict[str, Values]:
  num_runs, num_items = learning.is_known.shape
  run = np.repeat([f'seed {seed}, run {number}' for number in range(num_runs)], num_items)
  item = np.tile(ids, num_runs)
  found = {
    cold_start_results.after(share): learning.is_known_after(share)
    for share in cold_start_results.SHARES
  }
  found |= {
    cold_start_results.ROUNDS: learning.rounds,
    cold_start_results.IMPRESSIONS: learning.impressions,
  }
  return {name: Values(values.ravel(), run, item) for name, values in found.items()}


def _baseline(name: str, settings: Config, dataset: Dataset) -> ComparedModel:
  """A tuned baseline; popularity stands in for what it cannot say of a user without events."""
  tuned = functools.partial(chain.tuned_baseline, config=settings, dataset=dataset)
  model, _ = tuned(name, num_trials=_NUM_TRIALS)
  if name != 'ease':
    return model
  prior, _ = tuned('popularity', num_trials=1)
  score = by_history.with_prior(model.scores[0], prior.scores[0])
  return dataclasses.replace(model, scores=[score])
