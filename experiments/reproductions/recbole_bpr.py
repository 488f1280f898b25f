"""The quick start of RecBole: BPR-MF on MovieLens-100k, divided at random by user."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.reproductions import Repeat, movielens, reproduction
from rec_jax.evaluation import ranking
from rec_jax.models.baselines import bpr_mf, descent
from rec_jax.models.baselines.events import Events
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

DIM, BATCH, RATE, MOST_EPOCHS, PATIENCE, RUNS = 64, 2048, 1e-3, 300, 10, 3
PUBLISHED = {
  'recall@10': 0.2368,
  'mrr@10': 0.4519,
  'ndcg@10': 0.2768,
  'hit@10': 0.7614,
  'precision@10': 0.1901,
}
# Of the published number, for the two that are judged; the others are shown.
TOLERANCE, JUDGED = 0.03, ('recall@10', 'ndcg@10')
# Ranked side by side.
_USERS = 64
_OTHERS = ', '.join(f'{name} {PUBLISHED[name]}' for name in PUBLISHED if name not in JUDGED)
_TITLE = 'BPR-MF on MovieLens-100k by the quick start of RecBole'
_SETUP = (
  f'MovieLens-100k, all ratings positive; of each user 8:1:1 at random; {DIM} dimensions, Adam at '
  f'{RATE}, batches of {BATCH:,}, at most {MOST_EPOCHS} epochs, stopped by MRR@10 of the '
  f'validation tenth after more than {PATIENCE} epochs without a new best; full ranking without '
  'the items of the other nine tenths; {num_seeds} runs, a division each. Numbers of the quick '
  'start in the README of github.com/RUCAIBox/RecBole, from one run, whose division and draws are '
  'those of PyTorch and NumPy under its seed and are not repeated here: tolerance of '
  f'{TOLERANCE:.0%} for recall and NDCG; published beside the others: {_OTHERS}'
)


def get_study() -> Study:
  """Metrics at 10, means over users."""
  published = {
    metric: Expected.near(PUBLISHED[metric], TOLERANCE * PUBLISHED[metric]) for metric in JUDGED
  }
  return reproduction(_TITLE, _SETUP, measure, published, runs=RUNS)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The test metrics of one run."""
  del workdir
  user, item = movielens.events()
  part = divide(user, np.random.default_rng(config.seed))
  size = (int(user.max()) + 1, int(item.max()) + 1)
  train, valid, test = (_matrix(user[part == p], item[part == p], size) for p in range(3))
  order = np.flatnonzero(part == 0)
  events = Events(user[order], item[order], order, *size)
  users, items = fit(jax.random.key(config.seed), events, jnp.asarray(train), jnp.asarray(valid))
  found = evaluate(np.asarray(users @ items.T), ~(train | valid), test)
  return {metric: Values([found[metric]], [f'run {config.seed}']) for metric in PUBLISHED}


def divide(user: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """[E] 0, 1, 2: which of 8:1:1 an event falls to, the shares of each user rounded down."""
  shuffled = rng.permutation(len(user))
  order = shuffled[np.argsort(user[shuffled], kind='stable')]
  counts = np.bincount(user)
  place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
  # A tenth of fewer than ten events is rounded up to one, where that leaves one to train on.
  tenth = np.where(counts >= 3, np.maximum(counts // 10, 1), 0)[user[order]]
  rest = counts[user[order]] - place
  part = np.empty(len(user), int)
  part[order] = np.where(rest <= tenth, 2, np.where(rest <= 2 * tenth, 1, 0))
  return part


def fit(
  key: jax.Array, events: Events, train: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Vectors of users and items at the epoch that is best in MRR@10 on `valid` [U, N] bool."""
  begin, steps = jax.random.split(key)
  data = bpr_mf.Data(descent.seen(events), jnp.float32(0))
  state = bpr_mf.start(begin, events, DIM)
  best, best_params, since = -1.0, state.params, 0
  for epoch in range(MOST_EPOCHS):
    state = descent.epochs(
      steps,
      bpr_mf.loss,
      state,
      data,
      epoch,
      epoch + 1,
      num_rows=len(events.item),
      batch_size=BATCH,
      learning_rate=RATE,
    )
    value = float(_reciprocal_rank(*state.params, train, valid))
    since += 1
    if value >= best:
      best, best_params, since = value, state.params, 0
    if since > PATIENCE:
      break
  return best_params


def evaluate(scores: np.ndarray, mask: np.ndarray, targets: np.ndarray) -> dict[str, float]:
  """Means over the users with a target; scores, mask and targets are [U, N]."""
  scores, mask, targets = (each[targets.any(1)] for each in (scores, mask, targets))
  most = int(targets.sum(1).max())
  # Targets first, the others as padding.
  padded = np.argsort(~targets, axis=1, kind='stable')[:, :most]
  padded = np.where(np.arange(most) < targets.sum(1, keepdims=True), padded, -1)

  where = _places(jnp.asarray(scores), jnp.asarray(mask), jnp.asarray(padded))
  found = ranking.evaluate(where)
  return {metric: float(found[metric].mean()) for metric in PUBLISHED}


@jax.jit
def _places(scores: jax.Array, mask: jax.Array, targets: jax.Array) -> ranking.Places:
  return jax.lax.map(lambda user: ranking.places(*user), (scores, mask, targets), batch_size=_USERS)


@jax.jit
def _reciprocal_rank(
  users: jax.Array, items: jax.Array, train: jax.Array, targets: jax.Array
) -> jax.Array:
  """MRR@10 over users with a target: above the first target stand no others."""
  scores = jnp.where(train, -jnp.inf, users @ items.T)
  best = jnp.where(targets, scores, -jnp.inf).max(1, keepdims=True)
  rank = 1 + (scores > best).sum(1)
  value = jnp.where(rank <= 10, 1 / rank, 0)
  return (value * targets.any(1)).sum() / targets.any(1).sum()


def _matrix(user: np.ndarray, item: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  found = np.zeros(size, bool)
  found[user, item] = True
  return found
