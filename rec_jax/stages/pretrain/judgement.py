"""What pre-training did to the text vectors of the items, by which it is taken or left.

The loss of the language model says nothing of it: an encoder may guess words better and draw all
texts together. So both encoders are asked for the items that users chose next, by text alone and
before the cut, and what is handed on has to find as many as before.
"""

import dataclasses
import functools
import logging
from typing import Any

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import isotropy, two_way
from rec_jax.models import encoding
from rec_jax.models.text_encoder import TextEncoder
from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.tasks import events, full_ranking, item_folds, zero_shot
from rec_jax.tasks.full_ranking import Queries

BEFORE, CONTINUED = 'encoder before', 'continued encoder'
DIFFERENCE, HANDED_ON = 'continued minus before, paired', 'encoder handed on'
RETRIEVAL, MEAN_COSINE, RANK = 'recall@10 by text alone', 'mean_cosine', 'effective_rank'
IS_CONTINUED = 'is_continued'
# Whose text vectors are decomposed in float64: 400 MB of width 384.
_MOST_ITEMS = 2**17

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Judgement:
  """The rows of metrics.json, and what they decide.

  Attributes:
    rows: retrieval, isotropy, and which encoder is handed on.
    takes_continued: whether the later stages build on the continued encoder.
  """

  rows: list[dict[str, Any]]
  takes_continued: bool


def judge(
  before: TextEncoder, continued: TextEncoder, dataset: Dataset, config: Config
) -> Judgement:
  """Compares two encoders on the items of a data set.

  The continued one is taken unless it finds fewer of the items than before, or where
  `pretrain.take` is 'continued'. Where no user can be asked it is taken if it began at random.
  """
  vectors = {
    name: encoding.text_vectors(encoder, dataset.input_ids, dataset.attention_mask)
    for name, encoder in ((BEFORE, before), (CONTINUED, continued))
  }
  known = np.flatnonzero(dataset.split.trained_items)
  rows = _retrieval(vectors, dataset, config)
  found = {row['subject']: row['value'] for row in rows}
  settings, is_judged = config.pretrain, DIFFERENCE in found
  takes = found[DIFFERENCE] >= 0 if is_judged else settings.init == 'random'
  takes = takes or settings.take == 'continued'
  if not (is_judged or takes):
    logger.warning(
      'no validation event asks for an item with a training event, so nothing judges the continued '
      'encoder and the published one is handed on; set --config.pretrain.take=continued to build '
      'on the continued one'
    )
  protocol = f'text vectors of {len(known)} items with training events'
  if len(known) > _MOST_ITEMS:
    rng = np.random.default_rng((config.seed, 13))
    known = np.sort(rng.choice(known, _MOST_ITEMS, replace=False))
    protocol += f', of a random sample of {_MOST_ITEMS}'
  for name, found_vectors in vectors.items():
    for metric, measure in ((MEAN_COSINE, isotropy.mean_cosine), (RANK, isotropy.effective_rank)):
      if len(known) > 1:
        value = measure(found_vectors[known])
        rows.append(runs.count_row('pretrain', name, metric, value, len(known), protocol))
  said = (
    f'1 if the later stages build on the continued encoder; pretrain.take={config.pretrain.take}'
  )
  rows.append(runs.count_row('pretrain', HANDED_ON, IS_CONTINUED, float(takes), 1, said))
  return Judgement(rows, takes)


def _retrieval(
  vectors: dict[str, np.ndarray], dataset: Dataset, config: Config
) -> list[dict[str, Any]]:
  """Rows of recall by text alone; none where no user can be asked."""
  settings = config.finetune
  asked = events.validation_queries(dataset, settings, config.data.positive_rating, config.seed)
  folds = item_folds.make(dataset, asked, config.seed)
  if folds is None:
    return []
  found = {}
  for name, rows in vectors.items():
    directions = zero_shot.directions(rows, dataset.split.trained_items)
    found[name] = folds.rank(functools.partial(_by_text, directions))['recall@10']
  found[DIFFERENCE] = found[CONTINUED] - found[BEFORE]
  protocol = (
    f'validation event of each ranked user, among the items of one of {folds.num_folds} '
    f'folds of the catalogue, {full_ranking.excluded(dataset.interactions)}, by the cosine of text '
    'vectors to those of the history; 95 % two-way bootstrap over users and items'
  )
  table = two_way.user_macro(
    jax.random.key(config.seed), found, folds.asked.user, folds.asked.target
  )
  return [
    runs.estimate_row('pretrain', subject, RETRIEVAL, estimate, protocol)
    for subject, estimate in table.items()
  ]


def _by_text(directions: jax.Array, asked: Queries) -> jax.Array:
  return _scores(directions, asked.history)


_scores = jax.jit(zero_shot.scores)
