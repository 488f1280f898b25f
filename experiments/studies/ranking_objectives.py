"""Which objective of fine-tuning ranks best?"""

from experiments.studies import chain
from rec_jax.runs.study import Study
from rec_jax.tasks.objectives import OBJECTIVES


def get_study() -> Study:
  """The two-tower model of text and ids by each objective, nothing else being changed."""
  config = chain.movielens()
  config.finetune.variants = 'teacher'
  return Study(
    title='Which objective of fine-tuning ranks best?',
    protocol=(
      'two-tower model of text and ids on {config.data.source}, {config.finetune.num_negatives} '
      'negatives an event where they are drawn; next item: the held-out event of each ranked user '
      '(split {config.data.split}: with leave_last some training events are younger), whole '
      'catalogue; unseen items: events after the cut at {config.data.cut} on items without an '
      'event before it, in the whole catalogue and among themselves; seen items excluded'
    ),
    config=config,
    variants={name.replace('_', ' '): {'finetune.objective': name} for name in OBJECTIVES},
    baseline='softmax',
    seeds=range(5),
    measure=chain.two_tower_ranking,
  )
