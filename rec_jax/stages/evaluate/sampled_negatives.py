"""How models rank among sampled negatives, beside the whole catalogue, where that is asked for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rec_jax.runs import workdir as runs
from rec_jax.runs.config import Config
from rec_jax.stages.evaluate import judged_events
from rec_jax.stages.evaluate.compared_models import ComparedModel
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries


def metrics(config: Config) -> tuple[str, ...]:
  """The names of the metrics, which say that and how many negatives are sampled."""
  number = config.num_sampled_negatives
  if not number:
    return ()
  return tuple(full_ranking.sampled_name(metric, number) for metric in ('recall@10', 'ndcg@10'))


def rows(
  config: Config,
  asked: Queries,
  models: Mapping[str, ComparedModel],
  num_items: int,
  protocol: str,
) -> list[dict[str, Any]]:
  """recall@10 and NDCG@10 of queries, each among its own sample, the same for all models."""
  wanted, everything, found = metrics(config), np.ones(num_items, bool), []
  for name, model in models.items() if wanted else ():
    seeds = [
      full_ranking.rank_targets(
        *(score, asked, everything), num_negatives=config.num_sampled_negatives, seed=config.seed
      )
      for score in model.scores
    ]
    table = {metric: np.stack([seed[metric] for seed in seeds]) for metric in wanted}
    sampled = f'{protocol}; here among the item and a sample of the others'
    for metric, estimate in judged_events.means(config, asked, table).items():
      found.append(runs.estimate_row('evaluate', name, metric, estimate, sampled))
  return found
