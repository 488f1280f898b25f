"""How items without an id are placed by the teacher, chosen and judged before the cut."""

from typing import Any

import jax
import numpy as np

from rec_jax.evaluation import intervals, two_way
from rec_jax.runs import workdir as runs
from rec_jax.tasks import placing
from rec_jax.tasks.item_folds import ItemFolds
from rec_jax.tasks.two_tower_model import TwoTowerModel

AS_IF_NEW = ', items as if new'
WARM, NEW = 'ndcg@10, known items', 'recall@10, items as if new in the whole catalogue'
RIDGE, BIAS, WEIGHT, PLACE = 'ridge', 'new_bias', 'new_popularity_weight', 'new_place'


def rows(
  model: TwoTowerModel, folds: ItemFolds, max_warm_loss: float, seed: int
) -> list[dict[str, Any]]:
  """Sets penalty and prior of a trained model, and says what they found in validation events.

  Args:
    model: of text and ids, in evaluation mode; changed in place.
    folds: queries before the cut.
    max_warm_loss: share of NDCG@10 that known items may lose.
    seed: of the model.
  """
  alone = placing.choose_ridge(model, folds)
  trade = placing.choose_prior(model, folds, max_warm_loss, seed)
  among = (
    f'validation event of each ranked user; one of {folds.num_folds} folds of the catalogue stands '
    'for new items, placed by their text and a regression on the others'
  )
  two_ways = '95 % two-way bootstrap over users and items'
  key = jax.random.key(seed)
  table = two_way.user_macro(key, alone, folds.asked.user, folds.asked.target)
  found = [
    _row(seed, f'{name}{AS_IF_NEW}', estimate, f'{among}, ranked among themselves; {two_ways}')
    for name, estimate in table.items()
  ]
  for metric, values in ((WARM, trade.warm), (NEW, trade.new)):
    names = [f'{metric}, {BIAS} {bias:g}' for bias in placing.BIASES]
    named = dict(zip(names, values, strict=True))
    table = two_way.user_macro(key, named, trade.asked.user, trade.asked.target)
    said = (
      f'{among}, the logits of new items are higher by {BIAS} and {trade.weight:g} of the log '
      f'popularity that their text tells, and {trade.place} known items stay ahead; {two_ways}'
    )
    found += [_row(seed, name, estimate, said) for name, estimate in table.items()]
  chosen = {
    RIDGE: float(model.towers.items.ridge[...]),
    BIAS: trade.bias,
    WEIGHT: trade.weight,
    PLACE: float(trade.place),
  }
  for name, value in chosen.items():
    estimate = intervals.Estimate(value, np.nan, np.nan, len(trade.asked))
    found.append(
      _row(seed, name, estimate, f'{among}; known items lose {max_warm_loss:.1%} at most')
    )
  return found


def _row(seed: int, metric: str, estimate: intervals.Estimate, protocol: str) -> dict[str, Any]:
  return runs.estimate_row('finetune', f'teacher seed {seed}', metric, estimate, protocol)
