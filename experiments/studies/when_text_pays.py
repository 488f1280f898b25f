"""When does text pay: for how few events, for which items, and by which encoder?"""

import dataclasses
import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.studies import chain
from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation.intervals import Estimate
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.report import style
from rec_jax.report.grouped_points import Look, grouped_points
from rec_jax.runs import artefacts
from rec_jax.runs.config import Config, FinetuneConfig
from rec_jax.runs.study import Study, Values, override
from rec_jax.runs.study_results import Result
from rec_jax.stages.evaluate import by_events, compared_models, ranking_comparison
from rec_jax.stages.finetune import fit
from rec_jax.tasks import next_item, text_encoders
from rec_jax.tasks.catalogue_text import CatalogueText

ID = 'id'
_CONTINUED = 'continued'
# What the encoder is, and what is done to it beside the towers.
ENCODERS: Mapping[str, Mapping[str, str]] = {
  'random': {'encoder': 'random'},
  'published': {'encoder': 'published'},
  'continued': {'encoder': _CONTINUED},
  'fine-tuned': {'encoder': 'published', 'chain.finetune.encoder_method': 'lora'},
}
MODELS = {'text': 'text_only', 'both': 'teacher'}


@dataclasses.dataclass
class WhenTextPaysConfig:
  """One model with several numbers of events.

  Attributes:
    seed: of the events that are kept, of the encoder's training and of the model.
    encoder: 'random' weights, the 'published' ones, or those 'continued' by the stage `pretrain`.
    shares: of the training events, separated by commas.
    chain: settings of the data and of the model, one of `finetune.variants`.
  """

  seed: int = 0
  encoder: str = 'published'
  shares: str = '0.01,0.1,1'
  chain: Config = dataclasses.field(
    default_factory=lambda: chain.movielens(finetune=FinetuneConfig(encoder_method='frozen'))
  )


def get_study() -> Study:
  """Items known by id, by text, or by both, the text read by each encoder."""
  variants: dict[str, dict[str, Any]] = {ID: {'chain.finetune.variants': 'id_only'}}
  for model, variant in MODELS.items():
    for encoder, fields in ENCODERS.items():
      variants[_label(model, encoder)] = {'chain.finetune.variants': variant, **fields}
  return Study(
    title='When does text pay: for how few events, for which items, and by which encoder?',
    protocol=(
      'two-tower models of {config.chain.data.source}, each as the stage finetune makes it, on '
      'the histories of users drawn by the seed, which are shares {config.shares} of the training '
      'events; next item: the held-out event of each ranked user (split '
      '{config.chain.data.split}), whole catalogue; others: at most 2,000 events after the cut at '
      '{config.chain.data.cut} a group of items with that many of the events trained on, in the '
      'whole catalogue and among the items of the group; seen items excluded; the encoder has '
      'random weights, the published ones, those after the stage pretrain, or the published ones '
      'tuned with the towers'
    ),
    config=WhenTextPaysConfig(),
    variants=variants,
    baseline=ID,
    seeds=range(5),
    measure=measure,
    draw=draw,
  )


def measure(config: WhenTextPaysConfig, root: Path) -> Mapping[str, Values]:
  """Ranks the next item, and events after the cut by their item's training events, by share.

  Raises:
    InputError: the shares are none.
  """
  shares = chain.shares_of_events(config.shares)
  settings = override(config.chain, {'seed': config.seed})
  # The same for all models, which so share the stages before.
  own = FinetuneConfig(encoder_blocks=settings.finetune.encoder_blocks)
  before = override(settings, {'pretrain.take': _CONTINUED, 'finetune': own})
  dataset, encoder, text = _catalogue(chain.pretrained(before, root), config.encoder)
  found: dict[str, Values] = {}
  for label, share in shares.items():
    split = splits.thin(dataset.interactions, dataset.split, share, config.seed)
    thinned = dataclasses.replace(dataset, split=split)
    common = fit.shared(settings, thinned, encoder, text)
    with tempfile.TemporaryDirectory() as directory:
      model = fit.fit(settings.finetune.variants, common, settings, config.seed, directory).model
    ranks = compared_models.of_two_towers([model], dataset.items.num_items)
    measured = ranking_comparison.next_item_per_query(settings, thinned, ranks)
    measured |= by_events.per_query(settings, thinned, ranks)
    found |= {f'{label}, {metric}': values for metric, values in measured.items()}
  return found


def draw(found: Sequence[Result]) -> dict[str, str]:
  """Group of items -> SVG of recall@10 among them, by share of the events and by model."""
  looks = {ID: Look(style.INK)}
  for encoder, colour in zip(ENCODERS, style.PALETTE, strict=False):
    looks |= {_label(model, encoder): Look(colour, model == 'text') for model in MODELS}
  panels: dict[str, dict[str, dict[str, Estimate]]] = {label: {} for label in by_events.GROUPS}
  for result in found:
    share, _, metric = result.metric.partition(f'{chain.OF_EVENTS}, ')
    group = metric.removesuffix(' alone, recall@10')
    if group in panels:
      panels[group].setdefault(share, {})[result.variant] = result.value
  return {
    group: grouped_points(f'recall@10 among items of {group}', 'training events', shares, looks)
    for group, shares in panels.items()
    if shares
  }


def _label(model: str, encoder: str) -> str:
  return f'{model}, {encoder} encoder'


@functools.lru_cache(maxsize=len(ENCODERS))
def _catalogue(workdir: Path, name: str) -> tuple[Dataset, TextEncoder, CatalogueText]:
  """What the run in a workdir prepared, encoded once for all models that read it so."""
  config = artefacts.load_config(workdir)
  dataset = artefacts.load_dataset(workdir)
  if name == _CONTINUED:
    encoder = artefacts.load_encoder(config, workdir)
  else:
    encoder = text_encoders.initial(name, config.data, config.seed)
  return dataset, encoder, next_item.catalogue_text(encoder, dataset, config.finetune)
