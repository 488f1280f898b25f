"""Full ranking over the catalogue: the queries of a protocol, and how a model answers them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from rec_jax.data.dataset import Dataset
from rec_jax.data.splits import gather_times, gather_windows, histories
from rec_jax.evaluation import ranking
from rec_jax.evaluation.ranking import Places
from rec_jax.types import Interactions

# Queries scored at once, and the most scores [B, N] of them: 128 MB, of which a few are held.
_CHUNK, _MOST_AT_ONCE = 256, 2**25
# Items of a catalogue whose chunks are no larger than they must be.
_LARGE = 2**15
# Scores of queries by items that are ranked again for each of many settings.
_MOST_SCORES = 2e7


@dataclasses.dataclass(frozen=True)
class Queries:
  """Q requests for a recommendation whose answer is known.

  Attributes:
    history: [Q, L] int32, item index + 1 in order of time, 0 for padding at the end.
    rewards: [Q, L] int32, 1 where the user liked the item.
    times: [Q, L] int32, seconds from the first event of a history to each.
    target: [Q] int32, the item of the event to predict.
    user: [Q] int32.
    seen_offsets: [Q + 1] int64, into `seen_items`.
    seen_items: items of all events of the user before the one to predict.
    repeats: whether items that the user met are recommended again.
    context: [Q, C] float32, features of the user and the moment; None where there are none.
  """

  history: np.ndarray
  rewards: np.ndarray
  times: np.ndarray
  target: np.ndarray
  user: np.ndarray
  seen_offsets: np.ndarray
  seen_items: np.ndarray
  repeats: bool = False
  context: np.ndarray | None = None

  def __len__(self) -> int:
    return len(self.target)

  def take(self, rows: np.ndarray) -> 'Queries':
    """The queries at positions `rows`, in this order."""
    size = np.diff(self.seen_offsets)[rows]
    seen = [self.seen_items[self.seen_offsets[row] : self.seen_offsets[row + 1]] for row in rows]
    return Queries(
      self.history[rows],
      self.rewards[rows],
      self.times[rows],
      self.target[rows],
      self.user[rows],
      np.concatenate([[0], np.cumsum(size)]),
      np.concatenate(seen),
      self.repeats,
      None if self.context is None else self.context[rows],
    )

  def last(self, number: int) -> 'Queries':
    """The same requests of users of whom only the last `number` events are read.

    What they met is no candidate as before, so that all lengths have the same list to order.
    """
    lengths = (self.history > 0).sum(axis=1)
    kept = np.minimum(lengths, number)
    column = np.arange(self.history.shape[1])
    place = np.minimum(column + (lengths - kept)[:, None], self.history.shape[1] - 1)

    def cut(table: np.ndarray) -> np.ndarray:
      return np.where(column < kept[:, None], np.take_along_axis(table, place, axis=1), 0)

    times = cut(self.times)
    times = np.where(column < kept[:, None], times - times[:, :1], 0)
    return dataclasses.replace(
      self, history=cut(self.history), rewards=cut(self.rewards), times=times
    )

  def spread(self, num_items: int) -> 'Queries':
    """So many of them that each of many settings can rank N items again, spread over all.

    Their order is that of users, whose numbers are in the order in which they came.
    """
    number = min(len(self), max(1, int(_MOST_SCORES / num_items)))
    return self.take(np.arange(number) * len(self) // number)

  def per_user(self, values: np.ndarray) -> np.ndarray:
    """[S, Q] -> [S, U], the mean within each user who asks, in the order of their labels."""
    place = np.unique(self.user, return_inverse=True)[1]
    count = np.bincount(place)
    return np.stack([np.bincount(place, row) / count for row in values])

  def unseen(self, num_items: int) -> np.ndarray:
    """[Q, N] bool, the candidates of each query: what the user has no event with so far.

    Where events repeat, these are all items.
    """
    mask = np.ones((len(self), num_items), bool)
    if self.repeats:
      return mask
    row = np.repeat(np.arange(len(self)), np.diff(self.seen_offsets))
    mask[row, self.seen_items] = False
    return mask


def queries(dataset: Dataset, events: np.ndarray, length: int, threshold: float) -> Queries:
  """The queries of `events` [Q], ascending or not: each user's history is all before the event.

  Args:
    dataset: from the stage `prepare`.
    events: [Q] indices of the events to predict.
    length: L.
    threshold: ratings from here on count as liked.
  """
  interactions = dataset.interactions
  everything = histories(interactions, np.ones(interactions.num_events, bool))
  user = interactions.user[events]
  # Position of each event within the ragged histories: what stands before it there came before it.
  place = np.empty(interactions.num_events, np.int64)
  place[everything.events] = np.arange(interactions.num_events)
  begin, end = everything.offsets[user], place[events]
  start = np.maximum(begin, end - length)
  liked = interactions.reward(threshold)[everything.events].astype(np.int32)
  seen = np.concatenate([np.arange(b, e) for b, e in zip(begin, end, strict=True)])
  return Queries(
    history=gather_windows(everything.items, start, end, length),
    rewards=np.maximum(gather_windows(liked, start, end, length) - 1, 0),
    times=gather_times(interactions.timestamp[everything.events], start, end, length),
    target=interactions.item[events],
    user=user,
    seen_offsets=np.concatenate([[0], np.cumsum(end - begin)]),
    seen_items=everything.items[seen],
    repeats=interactions.has_repeats,
    context=dataset.encoded.context(events),
  )


def excluded(interactions: Interactions) -> str:
  """Whether seen items are candidates, as protocols say it."""
  return 'seen items included' if interactions.has_repeats else 'seen items excluded'


def at_once(num_items: int, most: int = _CHUNK) -> int:
  """How many queries are scored at once: `most`, or fewer where the catalogue is large."""
  return int(np.clip(_MOST_AT_ONCE // num_items, 1, most))


# Queries to scores [Q, N].
Score = Callable[[Queries], jax.Array]


def rank_targets(
  score: Score,
  asked: Queries,
  candidates: np.ndarray,
  cutoffs: Sequence[int] = (10,),
  *,
  groups: np.ndarray | None = None,
  num_negatives: int | None = None,
  seed: int = 0,
) -> dict[str, np.ndarray]:
  """Ranks the candidates that are open to the user and looks where the target stands.

  Args:
    score: the model.
    asked: Q queries.
    candidates: [N] bool, items that compete.
    cutoffs: values of k.
    groups: [N] int; a target competes with the candidates of its own group.
    num_negatives: rank the target among so many of these candidates alone, drawn for each query
      without replacement. Such metrics are of another quantity, and may order models otherwise
      (Krichene & Rendle 2020), so that their names say so: see `sampled_name`.
    seed: of these; the same one draws the same for every model.

  Returns:
    {'recall@10': [Q], ..., 'mrr': [Q], 'top': [Q, k]}; 'top' holds the items of the largest cutoff,
    of equals those of lower index.
  """
  parts, rng = [], np.random.default_rng(seed)
  for chunk, kept in chunks(asked, len(candidates)):
    mask = chunk.unseen(len(candidates)) & candidates
    if groups is not None:
      mask &= groups == groups[chunk.target][:, None]
    if num_negatives is not None:
      mask = _with_sampled_negatives(rng, mask, chunk.target, num_negatives)
    ranked = _rank_chunk(score(chunk), mask, chunk.target[:, None], max(cutoffs))
    parts.append(jax.tree.map(lambda values, kept=kept: np.asarray(values)[:kept], ranked))
  where, top = jax.tree.map(lambda *values: np.concatenate(values), *parts)
  metrics = ranking.evaluate(where, cutoffs)
  if num_negatives is not None:
    metrics = {sampled_name(name, num_negatives): values for name, values in metrics.items()}
  return metrics | {'top': top}


def chunks(asked: Queries, num_items: int) -> Iterator[tuple[Queries, int]]:
  """As many queries as are scored at once, and how many of them are none of the padding.

  The last chunk is padded by repeating queries, so that nothing is compiled twice.
  """
  size = at_once(num_items)
  if num_items > _LARGE:
    # To rank what fills a chunk of few queries takes longer than to compile one of their size.
    size = min(size, 1 << (len(asked) - 1).bit_length())
  for start in range(0, len(asked), size):
    rows = np.minimum(np.arange(start, start + size), len(asked) - 1)
    yield asked.take(rows), min(size, len(asked) - start)


def sampled_name(metric: str, num_negatives: int) -> str:
  """The name of a metric among sampled negatives.

  >>> sampled_name('recall@10', 100)
  'recall@10 among 100 sampled'
  """
  return f'{metric} among {num_negatives} sampled'


def _with_sampled_negatives(
  rng: np.random.Generator, mask: np.ndarray, target: np.ndarray, number: int
) -> np.ndarray:
  """[Q, N] bool: the target, if it is allowed, and a sample of the other allowed items."""
  row = np.arange(len(mask))
  order = np.where(mask, rng.random(mask.shape, np.float32), np.inf)
  order[row, target] = np.inf
  drawn = np.argsort(order, axis=1)[:, :number]
  sampled = np.zeros_like(mask)
  sampled[row[:, None], drawn] = order[row[:, None], drawn] < np.inf
  sampled[row, target] = mask[row, target]
  return sampled


@functools.partial(jax.jit, static_argnames='cutoff')
def _rank_chunk(
  scores: jax.Array, mask: jax.Array, target: jax.Array, cutoff: int
) -> tuple[Places, jax.Array]:
  k = min(cutoff, scores.shape[1])
  top = jax.vmap(lambda s, m: ranking.top_k(s, m, k)[1])(scores, mask)
  return jax.vmap(ranking.places)(scores, mask, target), top
