"""Where items without an id stand: how firmly text places them, and how new ones start.

Both are chosen before the cut. Items with an id stand for new ones, a fold at a time
(`item_folds`): a regression that was fitted on the others places them by their text.
"""

import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.new_items import PLACES
from rec_jax.models.text_regression import Moments
from rec_jax.models.two_tower import ItemTower
from rec_jax.tasks import full_ranking
from rec_jax.tasks.full_ranking import Queries
from rec_jax.tasks.item_folds import ItemFolds
from rec_jax.tasks.two_tower_model import TwoTowerModel, item_vectors

RIDGES = tuple(float(10**power) for power in np.arange(-3.0, 2.5, 0.5))
# What is added to the logit of a new item; by e^4 = 55 times as likely they crowd out all others.
BIASES = tuple(np.arange(0.0, 4.01, 0.25).tolist())
# How much of the popularity that its text tells is added to the logit of a new item.
WEIGHTS = (0.0, 0.5, 1.0)
METRICS = ('recall@10', 'ndcg@10')
_CUTOFF = 10
# Of n known items among the first ten, none of them seen to be lost, a share of 1.84 / n may be: a
# larger one shows with the 84 % that a mean and one standard error have, as exp(-1.84) = 0.16.
_UNSEEN = 1.84
# How many standard errors more new items are found by a prior than by none.
_CLEAR = 2.0

logger = logging.getLogger(__name__)


def choose_ridge(model: TwoTowerModel, folds: ItemFolds) -> dict[str, np.ndarray]:
  """Sets the penalty whose NDCG@10 among items as if new is best, and places unseen items by it.

  Args:
    model: of text and ids, with text vectors of its own encoder, in evaluation mode.
    folds: queries before the cut.

  Returns:
    metric -> [Q] of the chosen penalty, of `folds.asked`.
  """
  fold, items = jnp.asarray(folds.fold), model.towers.items
  moments, vectors = _moments(items, fold, num_folds=folds.num_folds), item_vectors(model)

  def found(ridge: float) -> dict[str, np.ndarray]:
    placed = _placed(items, fold, moments, jnp.float32(ridge))[:, :-1]
    ranked = folds.rank(lambda part: _scores(model, vectors, placed, part)[1])
    return {name: ranked[name] for name in METRICS}

  trials = {ridge: found(ridge) for ridge in RIDGES}
  best = max(trials, key=lambda ridge: float(trials[ridge]['ndcg@10'].mean()))
  items.ridge[...] = jnp.float32(best)
  items.place_unseen()
  return trials[best]


class Trade(NamedTuple):
  """What known items lose and new ones gain in the whole catalogue, by what is added to the new.

  Attributes:
    weight: what was chosen of `WEIGHTS`.
    bias: what was chosen of `BIASES`.
    place: what was chosen of `PLACES`.
    warm: [C, Q] NDCG@10 of the answers while another fold stands for new items, at this weight and
      place and at each of `BIASES`.
    new: [C, Q] recall@10 of the answers, while their own fold does, likewise.
    asked: [Q] the queries.
  """

  weight: float
  bias: float
  place: int
  warm: np.ndarray
  new: np.ndarray
  asked: Queries


def choose_prior(model: TwoTowerModel, folds: ItemFolds, max_warm_loss: float, seed: int) -> Trade:
  """Sets the prior of new items that finds most of them and costs known ones no more than allowed.

  What is added to the logit of a new item is a bias and a weight times its popularity, as its text
  tells it. It is the smallest of those that find most new items, among those by which, and by all
  smaller biases, known items lose no more than allowed: one standard error included, or what of
  their number could be lost unseen, beside a fold that is as if new and beside the new items of the
  catalogue, which may be more popular, or say so. There is none unless new items gain clearly.

  Args:
    model: as in `choose_ridge`, with its penalty chosen.
    folds: queries before the cut.
    max_warm_loss: share of the NDCG@10 that known items have with neither bias, weight nor place.
    seed: of the fold that is new while a known item is the answer.
  """
  items, fold = model.towers.items, jnp.asarray(folds.fold)
  asked = folds.asked.spread(len(folds.fold))
  moments, vectors = _moments(items, fold, num_folds=folds.num_folds), item_vectors(model)
  placed = _placed(items, fold, moments, items.ridge[...])
  rivals = _rivals(folds, asked, seed)
  parts, size = [], full_ranking.at_once(len(folds.fold))
  for start in range(0, len(asked), size):
    # Padded by the last query, so that nothing is compiled twice.
    rows = np.minimum(np.arange(start, start + size), len(asked) - 1)
    part = asked.take(rows)
    known, new = _scores(model, vectors, placed[:, :-1], part)
    open_ = part.unseen(len(folds.fold))
    prior = jnp.array(WEIGHTS)[:, None] * placed[:, -1]
    rival, places = rivals[:, rows], jnp.array(PLACES)
    ranks = _ranks(known, new, open_, fold, part.target, rival, prior, places)
    parts.append([np.asarray(rank)[..., : len(asked) - start] for rank in ranks])
  # [rivals, weights, places, biases, Q], [weights, places, biases, Q] and [weights, Q]
  warm, fresh, alike = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
  gain = np.where(warm < _CUTOFF, 1 / np.log2(2 + warm), 0.0)
  # Of texts that say the same, the answer is at each place as often.
  found = np.clip((_CUTOFF - fresh) / np.maximum(alike, 1)[:, None, None], 0.0, 1.0)
  weight, place, bias = _best(gain, found, max_warm_loss)
  chosen = WEIGHTS[weight], BIASES[bias], PLACES[place]
  items.new.bias[...] = chosen[1] + chosen[0] * _new_popularity(items)
  items.new.place[...] = jnp.int32(chosen[2])
  return Trade(*chosen, gain[0, weight, place], found[weight, place], asked)


def _best(gain: np.ndarray, found: np.ndarray, max_warm_loss: float) -> tuple[int, ...]:
  """Places of weight, place and bias in what known items keep and how new ones are found.

  Args:
    gain: [rivals, weights, places, biases, Q].
    found: [weights, places, biases, Q].
    max_warm_loss: share of the gain by the first of all that may be lost.
  """
  plain, none = gain[:, :1, :1, :1], (0, 0, 0)
  hits = int((plain > 0).sum(-1).min())
  if hits * max_warm_loss < _UNSEEN:
    logger.warning(
      'no prior of new items: %d of %d queries find a known item, '
      'too few to tell a loss of %.1f %%',
      *(hits, gain.shape[-1], 100 * max_warm_loss),
    )
    return none
  # The best of hundreds of priors is one whose loss these queries show too small.
  kept = (_mean(plain - gain) + _error(plain - gain) <= max_warm_loss * _mean(plain)).all(0)
  # The first bias that costs more ends it, however the ones behind it fare.
  allowed = np.logical_and.accumulate(kept, axis=-1)
  best = np.unravel_index(np.argmax(np.where(allowed, _mean(found), -1.0)), allowed.shape)
  more = found[best] - found[none]
  is_clear = _mean(more) > _CLEAR * _error(more)
  logger.info(
    'the prior of new items is chosen by %d queries, %d of which find a known item; %s',
    *(gain.shape[-1], hits, 'it is taken' if is_clear else 'none finds clearly more new ones'),
  )
  return tuple(map(int, best)) if is_clear else none


def _mean(values: np.ndarray) -> np.ndarray:
  return values.mean(-1)


def _error(values: np.ndarray) -> np.ndarray:
  """The standard error of the mean of values [..., Q], two or more."""
  return values.std(-1, ddof=1) / np.sqrt(values.shape[-1])


def _rivals(folds: ItemFolds, asked: Queries, seed: int) -> np.ndarray:
  """[1 or 2, Q], folds that are new while a known item is the answer; -1 are those that are new."""
  step = np.random.default_rng((seed, 4)).integers(1, folds.num_folds, len(asked))
  rivals = [(folds.fold[asked.target] + step) % folds.num_folds]
  if (folds.fold < 0).any():
    rivals.append(np.full(len(asked), -1))
  return np.stack(rivals)


@nnx.jit(static_argnames='num_folds')
def _moments(items: ItemTower, fold: jax.Array, num_folds: int) -> Moments:
  return items.moments_of_folds(fold, num_folds)


@nnx.jit
def _placed(items: ItemTower, fold: jax.Array, moments: Moments, ridge: jax.Array) -> jax.Array:
  """[N, D + R + 1]; new items, which are in no fold, by all others."""
  placed = items.placed_by_others(fold, moments, ridge)
  return jnp.where(
    (fold < 0)[:, None], items.regressed(items.text[...], items.features[...]), placed
  )


def _scores(
  model: TwoTowerModel, vectors: jax.Array, placed: jax.Array, asked: Queries
) -> tuple[jax.Array, jax.Array]:
  """[B, N] of items where they are, at `vectors`, and where others place them."""
  given = asked.history, asked.rewards, asked.times, asked.context
  arrays = (jnp.asarray(each) for each in given if each is not None)
  return _logits(model, vectors, placed, *arrays)


@nnx.jit
def _logits(
  model: TwoTowerModel, vectors: jax.Array, placed: jax.Array, *asked: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """What `_scores` gives after history, rewards, times [B, L] and context [B, C]."""
  users = model.towers.encode_users(vectors, *asked)
  return users @ vectors.T + model.towers.items.trend[...], users @ placed.T


@nnx.jit
def _new_popularity(items: ItemTower) -> jax.Array:
  return items.new_popularity()


@jax.jit
def _ranks(
  known: jax.Array,
  new: jax.Array,
  open_: ArrayLike,
  fold: ArrayLike,
  target: ArrayLike,
  rivals: ArrayLike,
  prior: jax.Array,
  places: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """How many items are ahead of answers that are known and that are new.

  Args:
    known: [B, N] scores of items where they are.
    new: [B, N] where others place them.
    open_: [B, N] bool, which the user has not met.
    fold: [N], -1 for new items.
    target: [B] the answers.
    rivals: [R, B] folds that are new while the answer is known.
    prior: [weights, N], added to the scores of new items.
    places: [places], known items that stay ahead of new ones.

  Returns:
    [R, weights, places, biases, B], [weights, places, biases, B], and how many new items are equal
    to a new answer, with itself, [weights, B].
  """
  fold, open_, row = jnp.asarray(fold), jnp.asarray(open_), jnp.arange(len(known))
  own = (fold == fold[target][:, None]) & open_
  # [R, B, N]
  other = (fold == jnp.asarray(rivals)[..., None]) & open_
  open_ &= fold >= 0
  at_known, places = known[row, target][:, None], places[:, None]
  passes = (known > at_known) & open_ & ~other

  def kept(new_ones: jax.Array) -> jax.Array:
    """[..., places, B], with so few known items as places none."""
    number = (open_ & ~new_ones).sum(-1)[..., None, :]
    return jnp.where(places < number, places, 0)

  beside_own, beside_other, ahead = kept(own), kept(other), passes.sum(-1)

  def of_weight(added: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    raised = new + added
    at_new = raised[row, target][:, None]
    passed_by_own, alike = ((each & own).sum(1) for each in (raised > at_new, raised == at_new))

    def of_bias(bias: jax.Array) -> tuple[jax.Array, jax.Array]:
      passed = ((raised + bias > at_known) & other).sum(-1)[:, None]
      warm = ahead[:, None] + jnp.where(ahead[:, None] >= beside_other, passed, 0)
      behind = ((known > at_new + bias) & open_ & ~own).sum(1)
      return warm, jnp.maximum(behind, beside_own) + passed_by_own

    warm, fresh = jax.lax.map(of_bias, jnp.array(BIASES))
    return jnp.moveaxis(warm, 0, 2), jnp.moveaxis(fresh, 0, 1), alike

  warm, fresh, alike = jax.lax.map(of_weight, prior)
  return warm.swapaxes(0, 1), fresh, alike
