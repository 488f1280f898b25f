"""Which model ranks the next item best where it has learnt from nothing younger?"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.studies import chain
from rec_jax.data.config import DataConfig
from rec_jax.runs.config import Config
from rec_jax.runs.study import Study, Values, override
from rec_jax.stages.evaluate.recommenders import EASE, ID_ONLY, POPULARITY, TEACHER, ZERO_SHOT
from rec_jax.types import InputError


@dataclasses.dataclass
class RollingConfig:
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
  chain: Config = dataclasses.field(
    default_factory=lambda: Config(data=DataConfig(split='global_time'))
  )


def get_study() -> Study:
  """Baselines and two-tower models, each user judged once a cut and counted once."""
  baselines = {name: {'model': name} for name in (POPULARITY, EASE, ZERO_SHOT)}
  return Study(
    title='Which model ranks the next item best where it has learnt from nothing younger?',
    protocol=(
      'cuts at {config.cuts} of the events, split {config.chain.data.split}, models fitted anew at '
      'each; whole catalogue, seen items excluded; the unit is the user, judged at one cut or more'
    ),
    config=RollingConfig(),
    variants=baselines
    | {
      ID_ONLY: {'chain.finetune.variants': 'id_only'},
      TEACHER: {'chain.finetune.variants': 'teacher'},
    },
    baseline=POPULARITY,
    seeds=range(3),
    measure=measure,
  )


def measure(config: RollingConfig, workdir: Path) -> Mapping[str, Values]:
  """The metrics of the next item, over all cuts.

  Raises:
    InputError: the cuts are no shares, or a setting of the chain is the study's own to set.
  """
  own = Config()
  if config.chain.seed != own.seed or config.chain.data.cut != own.data.cut:
    raise InputError('chain.seed and chain.data.cut are set by --config.seed and --config.cuts')
  found: dict[str, list[Values]] = {}
  for cut in _numbers(config.cuts):
    settings = override(config.chain, {'seed': config.seed, 'data.cut': cut})
    for metric, values in chain.next_item_ranking(settings, config.model, workdir).items():
      found.setdefault(metric, []).append(values)
  return {
    metric: Values(
      np.concatenate([values.value for values in each]),
      np.concatenate([values.unit for values in each]),
    )
    for metric, each in found.items()
  }


def _numbers(cuts: str) -> list[float]:
  try:
    return [float(cut) for cut in cuts.split(',')]
  except ValueError:
    raise InputError(f'cuts is "{cuts}"; set --config.cuts to shares, as 0.5,0.7,0.9') from None
