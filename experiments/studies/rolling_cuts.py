"""Which model ranks the next item best where it has learnt from nothing younger?"""

from experiments.studies import chain
from rec_jax.data.config import DataConfig
from rec_jax.runs.study import Study
from rec_jax.stages.evaluate.compared_models import (
  EASE,
  ID_ONLY,
  POPULARITY,
  RECENT,
  TEACHER,
  ZERO_SHOT,
)


def get_study() -> Study:
  """Baselines and two-tower models, each user judged once a cut and counted once."""
  baselines = {name: {'model': name} for name in (POPULARITY, RECENT, EASE, ZERO_SHOT)}
  return Study(
    title='Which model ranks the next item best where it has learnt from nothing younger?',
    protocol=(
      'cuts at {config.cuts} of the events, split {config.chain.data.split}, models fitted anew at '
      'each; whole catalogue, seen items excluded; the unit is the user, judged at one cut or more'
    ),
    config=chain.CutsConfig(chain=chain.movielens(data=DataConfig(split='global_time'))),
    variants=baselines
    | {
      ID_ONLY: {'chain.finetune.variants': 'id_only'},
      TEACHER: {'chain.finetune.variants': 'teacher'},
    },
    baseline=POPULARITY,
    seeds=range(3),
    measure=chain.next_item_over_cuts,
  )
