"""What a model has to find in a planted world; each is an assertion that can fail."""

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import intervals, two_way
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries, Score
from tests.planted.world import NUM_CHAPTERS, World

UNSEEN_CUTOFF = 5
LEAST_LEAD = {'recall@10': 0.05, 'ndcg@10': 0.02}


def next_item(score: Score, asked: Queries, dataset: Dataset) -> dict[str, np.ndarray]:
  """Where the next item stands in the whole catalogue."""
  return full_ranking.rank_targets(score, asked, np.ones(dataset.items.num_items, bool))


def beats(model: dict[str, np.ndarray], baseline: dict[str, np.ndarray]) -> None:
  """The interval of the difference, paired by user, lies above `LEAST_LEAD`."""
  for metric, least in LEAST_LEAD.items():
    difference = intervals.paired_difference(jax.random.key(0), model[metric], baseline[metric])
    assert difference.low > least, (metric, difference)


def following_share(world: World, asked: Queries, top: np.ndarray) -> float:
  """Share of the recommended that is of the chapter after the last item's; 1/6 by chance."""
  length = (asked.history > 0).sum(1)
  last = asked.history[np.arange(len(asked)), length - 1] - 1
  return float(np.take_along_axis(world.follows(last), top, axis=1).mean())


def follows_the_order(world: World, asked: Queries, top: np.ndarray) -> None:
  assert following_share(world, asked, top) > 1.75 / NUM_CHAPTERS


def quality_found(world: World, score: Score, asked: Queries) -> float:
  """Correlation of the quality of known items with the score that users give them on average."""
  known = ~world.is_cold
  return float(np.corrcoef(np.asarray(score(asked)).mean(0)[known], world.quality[known])[0, 1])


def finds_quality(world: World, score: Score, asked: Queries) -> None:
  assert quality_found(world, score, asked) > 0.65


def unseen_recall(
  score: Score, asked: Queries, dataset: Dataset
) -> tuple[intervals.Estimate, float]:
  """Recall@5 of unseen items among themselves less that of chance, two-way, and the former."""
  cold = dataset.split.cold_items
  found = full_ranking.rank_targets(score, asked, cold, (UNSEEN_CUTOFF,))
  values = found[f'recall@{UNSEEN_CUTOFF}']
  chance = UNSEEN_CUTOFF / (asked.unseen(len(cold)) & cold).sum(1)
  lift = {'lift': values - np.minimum(chance, 1)}
  found = two_way.user_macro(jax.random.key(0), lift, asked.user, asked.target)
  return found['lift'], float(values.mean())


def places_unseen_items(score: Score, asked: Queries, dataset: Dataset) -> None:
  """Unseen items that a user will choose stand higher than by chance."""
  lift, _ = unseen_recall(score, asked, dataset)
  assert lift.low > 0.05, lift
