"""Which user tower, and which negatives, rank best?"""

from experiments.studies import chain
from rec_jax.models.config import USER_TOWERS
from rec_jax.runs.study import Study
from rec_jax.tasks.negatives import NEGATIVES


def get_study() -> Study:
  """The two-tower model by its user tower, and by its negatives in place of the whole softmax."""
  config = chain.movielens()
  config.finetune.variants = 'id_only'
  # What is learnt is compared, so nothing is put beside it.
  config.finetune.linear_rank = 0
  variants = {f'{name} tower': {'finetune.user_tower': name} for name in USER_TOWERS}
  for name in NEGATIVES:
    sampled = {'finetune.objective': 'sampled_softmax', 'finetune.negatives': name}
    variants[f'transformer tower, {name.replace("_", "-")} negatives'] = sampled
  calibrated = {'finetune.objective': 'gbce', 'finetune.negatives': 'uniform'}
  return Study(
    title='Which user tower, and which negatives, rank best?',
    protocol=(
      'two-tower model of ids on {config.data.source}, without a linear path; the softmax over the '
      'catalogue, or over negatives ({config.finetune.num_negatives} where they are drawn); next '
      'item: the held-out event of each ranked user (split {config.data.split}: with leave_last '
      'some training events are younger), whole catalogue, seen items excluded'
    ),
    config=config,
    variants=variants | {'transformer tower, gBCE': calibrated},
    baseline='transformer tower',
    seeds=range(5),
    measure=chain.next_item_ranking,
  )
