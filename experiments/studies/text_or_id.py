"""Is an item known better by its text, by its id, or by both?"""

from experiments.studies import chain
from rec_jax.runs.study import Study


def get_study() -> Study:
  """The two-tower model without text, without ids, and with both."""
  return Study(
    title='Is an item known better by its text, by its id, or by both?',
    protocol=(
      'two-tower models on {config.data.source}; next item: the held-out event of each ranked '
      'user (split {config.data.split}: with leave_last some training events are younger), whole '
      'catalogue; unseen items: events after the cut at {config.data.cut} on items '
      'without an event before it, in the whole catalogue and among themselves; seen items excluded'
    ),
    config=chain.movielens(),
    variants={
      'id only': {'finetune.variants': 'id_only'},
      'text only': {'finetune.variants': 'text_only'},
      'text + id': {'finetune.variants': 'teacher'},
    },
    baseline='id only',
    seeds=range(5),
    measure=chain.two_tower_ranking,
  )
