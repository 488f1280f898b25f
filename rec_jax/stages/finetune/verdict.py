"""Whether a trained model is worth more than what needs no training, said where training ends."""

import logging
from typing import Any

import jax
import numpy as np

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import workdir as runs
from rec_jax.tasks import full_ranking, zero_shot
from rec_jax.tasks.item_to_item import Choice

logger = logging.getLogger(__name__)

LINEAR, TEXT = 'the linear item-to-item model', 'untrained text'
_PATH = 'linear path, '


def rows(subject: str, chosen: Choice, directions: jax.Array, seed: int) -> list[dict[str, Any]]:
  """What was chosen of the linear path, and the model less what it has to beat.

  Args:
    subject: variant and seed.
    chosen: from the queries that validate.
    directions: [N, H] of the text vectors before training.
    seed: of the intervals.
  """
  by_text = full_ranking.rank_targets(
    lambda part: _by_text(directions, part.history), chosen.asked, chosen.known
  )['ndcg@10']
  gains = {LINEAR: chosen.ndcg - chosen.alone, TEXT: chosen.ndcg - by_text}
  table = intervals.user_means(jax.random.key(seed), gains)
  for name, gain in table.items():
    if gain.high < 0:
      logger.warning(
        '%s ranks worse than %s: NDCG@10 %+.3f [%+.3f, %+.3f] on %d validation events; '
        'recommend by %s instead',
        *(subject, name, gain.value, gain.low, gain.high, gain.n, name),
      )
  said = 'validation events, among items with an id'
  return [
    runs.estimate_row('finetune', subject, f'ndcg@10 less that of {name}', gain, f'{said}; paired')
    for name, gain in table.items()
  ] + [
    runs.estimate_row(
      'finetune',
      subject,
      f'{_PATH}{name}',
      Estimate(value, np.nan, np.nan, len(chosen.asked)),
      f'best NDCG@10 of the {said}',
    )
    for name, value in chosen.settings.items()
  ]


_by_text = jax.jit(zero_shot.scores)
