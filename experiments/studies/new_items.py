"""How well is an item known of which there are few events, or none?"""

from experiments.studies import chain
from rec_jax.runs.study import Study
from rec_jax.stages.evaluate.compared_models import EASE, ID_ONLY, TEACHER, ZERO_SHOT


def get_study() -> Study:
  """Text alone, ids alone and both, by the number of training events of the item."""
  return Study(
    title='How well is an item known of which there are few events, or none?',
    protocol=(
      'cuts at {config.cuts} of the events, models fitted anew at each; next item: the held-out '
      'event of each ranked user (split {config.chain.data.split}), whole catalogue; others: at '
      'most 2,000 events after each cut on items with that many training events, in the whole '
      'catalogue and among the items of the group; seen items excluded'
    ),
    config=chain.CutsConfig(cuts='0.5,0.6,0.7'),
    variants={
      ZERO_SHOT: {'model': ZERO_SHOT},
      EASE: {'model': EASE},
      ID_ONLY: {'chain.finetune.variants': 'id_only'},
      TEACHER: {'chain.finetune.variants': 'teacher'},
    },
    baseline=TEACHER,
    seeds=range(5),
    measure=chain.by_events_over_cuts,
  )
