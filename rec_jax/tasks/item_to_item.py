"""The linear path from item to item that a two-tower model is given once it has been trained.

It is fitted in closed form to the training events; what is chosen - its penalty, how fast events
age and how much it counts beside what was learnt - is chosen on the validation events.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rec_jax.data import splits
from rec_jax.data.dataset import Dataset
from rec_jax.evaluation import ranking
from rec_jax.evaluation.ranking import Places
from rec_jax.models import linear_path
from rec_jax.models.baselines import ease
from rec_jax.models.linear_path import LinearPath, Spectrum
from rec_jax.tasks import choice, full_ranking, two_tower_model
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.two_tower_model import TwoTowerModel

# Ridge penalties, recency decays, and factors on the logits of the path, to choose from. The path
# alone comes last: it is no choice, but what the model is to be better than.
LAMBDAS = (100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0)
DECAYS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAINS = (0.0, *(float(2**power) for power in range(10)))
_FACTORS = (*((1.0, gain) for gain in GAINS), (0.0, 1.0))
_CUTOFF, _CHUNK, _ERRORS = 10, 64, 1.0


class Choice(NamedTuple):
  """What was chosen of the path, and what it brought.

  Attributes:
    settings: by name.
    asked: [Q] the queries that chose.
    ndcg: [Q] NDCG@10 of the model with the path, among items with an id.
    alone: [Q] of the path alone, at the penalty and the decay that are best for it.
  """

  settings: dict[str, float]
  asked: Queries
  ndcg: np.ndarray
  alone: np.ndarray


def rank(variant: str, config: FinetuneConfig, num_items: int) -> int:
  """R, the directions of the path; an item without an id has no place in it."""
  return 0 if variant == 'text_only' else linear_path.rank_of(num_items, config.linear_rank)


def spectrum(dataset: Dataset, config: FinetuneConfig, seed: int) -> Spectrum:
  """Of the training events, in as many directions as the path or what is learnt has."""
  events = splits.training_events(dataset.interactions, dataset.split)
  return linear_path.spectrum(
    dataset.interactions.user[events],
    dataset.interactions.item[events],
    dataset.items.num_items,
    max(linear_path.rank_of(dataset.items.num_items, config.linear_rank), config.dim),
    seed,
  )


def add(model: TwoTowerModel, spectrum: Spectrum, rank: int, asked: Queries) -> Choice:
  """Gives the model the path with which NDCG@10 among items with an id is best.

  A gain of 0 leaves the path out: so it is unless paths that are the best for four fifths of the
  queries add more than a standard error to the others.

  Args:
    model: in evaluation mode; changed in place.
    spectrum: of the training events.
    rank: R, how many of its directions make the path.
    asked: Q queries before the cut, those that validate.
  """
  num_items = len(spectrum.vectors)
  spectrum = Spectrum(spectrum.values[:rank], spectrum.vectors[:, :rank])
  asked = asked.spread(num_items)
  known = np.asarray(model.towers.items.has_id[...])
  shares = jnp.stack([spectrum.shares(lambda_) for lambda_ in LAMBDAS])
  scales = jnp.stack([spectrum.scales(lambda_) for lambda_ in LAMBDAS])
  answer = two_tower_model.answers(model)
  parts, size = [], full_ranking.at_once(num_items, _CHUNK)
  for start in range(0, len(asked), size):
    rows = np.minimum(np.arange(start, start + size), len(asked) - 1)
    part = asked.take(rows)
    learnt = answer(part)
    open_ = part.unseen(num_items) & known
    where = _places(learnt, open_, part.target, part.history, spectrum.vectors, shares, scales)
    found = ranking.one_metric(where, 'ndcg', _CUTOFF)
    parts.append(found[..., : len(asked) - start])
  ndcg = np.concatenate(parts, axis=-1)
  value = ndcg.mean(-1)
  best = np.unravel_index(np.argmax(value[..., :-1]), value[..., :-1].shape)
  beside = ndcg[..., :-1, :].reshape(-1, len(asked))
  penalty, age, gain = best if choice.helps(beside, _ERRORS) else (0, 0, 0)
  alone = np.unravel_index(np.argmax(value[..., -1]), value.shape[:-1])
  lambda_, decay = LAMBDAS[penalty], DECAYS[age]
  path = LinearPath(num_items, rank)
  path.decay[...] = jnp.float32(decay)
  path.given[...] = spectrum.vectors
  # As user vectors vary by one in each direction that is learnt, so they do in these: which of two
  # factors holds the scale matters to whoever reads item vectors alone.
  spread = _users(path, jnp.asarray(asked.history)).std(0)
  spread = jnp.where(spread > 1e-3 * spread.max(), spread, 1.0)
  path.given[...] = spectrum.vectors / spread
  sought = spectrum.vectors * (spread * shares[penalty]) * scales[penalty][:, None]
  path.sought[...] = GAINS[gain] * sought
  model.towers.items.add(path)
  model.towers.items.place_unseen()
  settings = {'lambda': lambda_, 'decay': decay, 'gain': GAINS[gain]}
  return Choice(settings, asked, ndcg[penalty, age, gain], ndcg[alone][-1])


@nnx.jit
def _users(path: LinearPath, history: jax.Array) -> jax.Array:
  return path.users(history)


@jax.jit
def _places(
  learnt: jax.Array,
  open_: jax.Array,
  target: jax.Array,
  history: jax.Array,
  vectors: jax.Array,
  shares: jax.Array,
  scales: jax.Array,
) -> Places:
  """Where the targets stand, [penalties, decays, factors, B, 1].

  Args:
    learnt: [B, N] logits without the path.
    open_: [B, N] bool, which items compete.
    target: [B].
    history: [B, L].
    vectors: [N, R] of the spectrum.
    shares: [penalties, R].
    scales: [penalties, N].
  """
  events = jnp.where(history[..., None] > 0, vectors[jnp.maximum(history - 1, 0)], 0.0)

  def of_factors(factors: jax.Array, linear: jax.Array) -> Places:
    logits = factors[0] * learnt + factors[1] * linear
    return jax.vmap(ranking.places)(logits, open_, target[:, None])

  def of_decay(decay: jax.Array, share: jax.Array, scale: jax.Array) -> Places:
    users = jnp.einsum('bl,blr->br', ease.recency(history, decay), events)
    linear = (users * share) @ vectors.T * scale
    return jax.lax.map(lambda factors: of_factors(factors, linear), jnp.array(_FACTORS))

  def of_penalty(both: tuple[jax.Array, jax.Array]) -> Places:
    return jax.lax.map(lambda decay: of_decay(decay, *both), jnp.array(DECAYS))

  return jax.lax.map(of_penalty, (shares, scales))
