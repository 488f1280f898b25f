"""Whether a trained model is worth more than what needs no training, said where training ends."""

import logging
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rec_jax.evaluation import intervals
from rec_jax.evaluation.intervals import Estimate
from rec_jax.runs import workdir as runs
from rec_jax.tasks import full_ranking, zero_shot
from rec_jax.tasks.full_ranking import Queries

logger = logging.getLogger(__name__)

LINEAR, TEXT = 'the linear item-to-item model', 'untrained text'
POPULAR = 'what is popular of late'
_SAID = 'validation events, among items with an id'


def rows(
  subject: str,
  asked: Queries,
  known: np.ndarray,
  ndcg: np.ndarray,
  others: Mapping[str, np.ndarray],
  directions: jax.Array,
  seed: int,
) -> list[dict[str, Any]]:
  """The model less what it has to beat.

  Args:
    subject: variant and seed.
    asked: Q queries that validate.
    known: [N] bool, items with an id, which compete.
    ndcg: [Q] NDCG@10 of the model.
    others: [Q] of others, by name.
    directions: [N, H] of the text vectors before training, one more.
    seed: of the intervals.
  """
  by_text = full_ranking.rank_targets(
    lambda part: _by_text(directions, part.history), asked, known
  )['ndcg@10']
  gains = {name: ndcg - each for name, each in {**others, TEXT: by_text}.items()}
  table = intervals.user_means(jax.random.key(seed), gains)
  for name, gain in table.items():
    if gain.high < 0:
      logger.warning(
        '%s ranks worse than %s: NDCG@10 %+.3f [%+.3f, %+.3f] on %d validation events; '
        'recommend by %s instead',
        *(subject, name, gain.value, gain.low, gain.high, gain.n, name),
      )
  return [
    runs.estimate_row('finetune', subject, f'ndcg@10 less that of {name}', gain, f'{_SAID}; paired')
    for name, gain in table.items()
  ]


def settings_rows(
  subject: str, part: str, settings: Mapping[str, float], asked: Queries, best: str = 'NDCG@10'
) -> list[dict[str, Any]]:
  """What was chosen of a part of the model, by what is best on the queries that validate."""
  return [
    runs.estimate_row(
      'finetune',
      subject,
      f'{part}, {name}',
      Estimate(value, np.nan, np.nan, len(asked)),
      f'best {best} of the {_SAID}',
    )
    for name, value in settings.items()
  ]


_by_text = jax.jit(zero_shot.scores)
