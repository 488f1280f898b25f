"""What fine-tuning descends on the events that a step predicts, by name.

All of them estimate the same P(i|u), the probability that i is the item of the user's next event,
so that what stands behind the towers reads u·M̂(i) alike, whichever was chosen:

softmax: -log P(target | u), over all items with a training event.
sampled_softmax: the same with its sum estimated from negatives.
binary_cross_entropy, squared_error: the pair of user and target has the label 1, pairs with
  negatives have 0, whatever a rating says: it is the event that is predicted. The predicted
  probability is σ(u·M̂(i) - log K), K negatives to an event. Where no logit differs from 0 it is
  1 / (1 + K), the share of ones among the pairs; at its optimum u·M̂(i) = log(N P / (1 - P)), the
  log odds beside those of an item by chance (as in noise-contrastive estimation, Gutmann &
  Hyvarinen 2012, eq. 8-11, whose negatives may be the target). A learnt offset would add nothing:
  neither the softmax nor a ranking sees one.

Negatives are drawn with replacement, uniformly from the items with a training event, for each event
its own; a negative that is the target is left out.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rec_jax.losses import classification, consistency, retrieval

SOFTMAX, SAMPLED = 'softmax', 'sampled_softmax'
_PAIRWISE = {
  'squared_error': classification.squared_error,
  'binary_cross_entropy': classification.binary_cross_entropy,
}
OBJECTIVES = (SOFTMAX, SAMPLED, *_PAIRWISE)

# User vectors [P, D] and item vectors [N, D].
Vectors = tuple[jax.Array, jax.Array]


class Objective(NamedTuple):
  """What is descended on P events, their targets and negatives given.

  Attributes:
    losses: vectors -> [P].
    divergence: vectors of two passes -> [P], how far apart what they predict is (R-Drop).
  """

  losses: Callable[[Vectors], jax.Array]
  divergence: Callable[[Vectors, Vectors], jax.Array]


def make(
  name: str, key: jax.Array, target: jax.Array, known: jax.Array, num_negatives: int
) -> Objective:
  """The objective of a name.

  Args:
    name: one of `OBJECTIVES`.
    key: typed key of the negatives; 'softmax' draws nothing.
    target: [P] int32, each one of the known items.
    known: [N] bool, items with a training event.
    num_negatives: K.
  """
  if name == SOFTMAX:
    return _over_catalogue(target, known)
  drawn = negatives(key, known, (len(target), num_negatives))
  chosen = jnp.concatenate([target[:, None], drawn], axis=1)
  is_negative = drawn != target[:, None]

  def logits(vectors: Vectors) -> jax.Array:
    users, items = vectors
    return jnp.einsum('pd,pkd->pk', users, items[chosen])

  if name == SAMPLED:
    log_expected = jnp.log(num_negatives) - jnp.log(known.sum())
    return _over_sample(logits, log_expected, is_negative)
  return _over_pairs(_PAIRWISE[name], logits, jnp.log(num_negatives), is_negative)


def negatives(key: jax.Array, known: jax.Array, shape: tuple[int, int]) -> jax.Array:
  """Items [P, K] drawn uniformly, with replacement, from those that `known` [N] marks."""
  items = jnp.flatnonzero(known, size=len(known))
  return items[jax.random.randint(key, shape, 0, known.sum())]


def _over_catalogue(target: jax.Array, known: jax.Array) -> Objective:
  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    (users, items), (others, other_items) = one, other
    return consistency.symmetric_kl(users @ items.T, others @ other_items.T, known)

  return Objective(lambda vectors: retrieval.full_softmax(*vectors, target, known), divergence)


def _over_sample(
  logits: Callable[[Vectors], jax.Array], log_expected: jax.Array, is_negative: jax.Array
) -> Objective:
  shown = jnp.pad(is_negative, ((0, 0), (1, 0)), constant_values=True)

  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    first, second = (
      retrieval.corrected(logits(each), log_expected, is_negative) for each in (one, other)
    )
    return consistency.symmetric_kl(first, second, shown)

  return Objective(
    lambda vectors: retrieval.sampled_softmax(logits(vectors), log_expected, is_negative),
    divergence,
  )


def _over_pairs(
  loss: Callable[[jax.Array, jax.Array], jax.Array],
  logits: Callable[[Vectors], jax.Array],
  offset: jax.Array,
  is_negative: jax.Array,
) -> Objective:
  """The sum over the pairs of an event, whose gradients are then as large as those of a softmax."""
  labels = jnp.zeros(is_negative.shape[1] + 1).at[0].set(1.0)
  shown = jnp.pad(is_negative, ((0, 0), (1, 0)), constant_values=True)

  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    first, second = (logits(each) - offset for each in (one, other))
    return (shown * consistency.symmetric_kl_of_pairs(first, second)).sum(1)

  return Objective(
    lambda vectors: (shown * loss(logits(vectors) - offset, labels)).sum(1), divergence
  )
