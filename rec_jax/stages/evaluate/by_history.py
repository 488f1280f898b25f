"""How well models serve users of whom little is known: the same answers after shorter histories."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.runs.config import Config
from rec_jax.runs.study import Values
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries, Score

# How many of the last events before the answer a model may read.
LENGTHS = (0, 1, 3, 5, 10)
WHOLE = 'whole history'
LESS_WHOLE = f' minus the {WHOLE}'
METRICS = ('recall@10', 'ndcg@10')


def per_query(config: Config, dataset: Dataset, model: ComparedModel) -> dict[str, Values]:
  """recall@10 and NDCG@10 of the next item by how much of the history is read.

  All lengths have the same users, answers and candidates: what a user met is left out whether or
  not it is read. A user with fewer events is read whole.

  Args:
    config: of the run.
    dataset: whose test events are asked for.
    model: one or several seeds, which are averaged.

  Returns:
    Metric -> a value a test event, with its user; beside each length its difference to the whole.
  """
  length, everything = config.finetune.history_length, np.ones(dataset.items.num_items, bool)
  asked = full_ranking.queries(
    dataset, dataset.split.test_event, length, config.data.positive_rating
  )
  cuts = {history(number): asked.last(number) for number in LENGTHS} | {WHOLE: asked}
  means = {}
  for label, queries in cuts.items():
    ranked = [full_ranking.rank_targets(score, queries, everything) for score in model.scores]
    for metric in METRICS:
      means[label, metric] = np.mean([each[metric] for each in ranked], axis=0)
  found = {f'{label}, {metric}': values for (label, metric), values in means.items()}
  found |= {
    f'{label}{LESS_WHOLE}, {metric}': values - means[WHOLE, metric]
    for (label, metric), values in means.items()
    if label != WHOLE
  }
  return {name: Values(values, asked.user) for name, values in found.items()}


def history(number: int) -> str:
  """The label of a history of at most so many events.

  >>> history(1)
  'history of 1'
  """
  return f'history of {number}'


def with_prior(score: Score, prior: Score) -> Score:
  """`score`, and `prior` where there is no history: what reads nothing else has no order then."""

  def scores(asked: Queries) -> jax.Array:
    is_empty = np.all(asked.history == 0, axis=1, keepdims=True)
    return jnp.where(is_empty, prior(asked), score(asked))

  return scores
