"""What fine-tuning descends on the events that a step predicts, by name.

All of them estimate the same P(i|u), the probability that i is the item of the user's next event,
so that what stands behind the towers reads u·M̂(i) alike, whichever was chosen:

softmax: -log P(target | u), over all items with a training event.
sampled_softmax: the same with its sum estimated from negatives.
binary_cross_entropy, squared_error: the pair of user and target has the label 1, pairs with
  negatives have 0, whatever a rating says: it is the event that is predicted. The predicted
  probability is σ(u·M̂(i) - log(N E(i))), E(i) being how often the negatives of an event bring item
  i on average: log K where K are drawn uniformly. Where no logit differs from 0 it is then
  1 / (1 + K), the share of ones among the pairs; at its optimum u·M̂(i) = log(N P / (1 - P)), the
  log odds beside those of an item by chance (as in noise-contrastive estimation, Gutmann &
  Hyvarinen 2012, eq. 8-11, whose negatives may be the target). A learnt offset would add nothing:
  neither the softmax nor a ranking sees one.
gbce: binary cross-entropy of σ(u·M̂(i) - log N) whose label 1 counts β times (Petrov & Macdonald
  2023). At its optimum, with full calibration, u·M̂(i) = log(N P / (1 - P)) as well; with less of it
  logits of items that are likely are higher than that. Without the log N, which they do not have,
  known items would stand below all that nobody has met, whose vectors are near zero.

Which negatives these are, and how often each is drawn, is `rec_jax.tasks.negatives`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rec_jax.losses import classification, consistency, retrieval
from rec_jax.tasks.config import FinetuneConfig
from rec_jax.tasks.negatives import Catalogue, Drawn, Sample, Vectors, sampler

SOFTMAX, SAMPLED, GBCE = 'softmax', 'sampled_softmax', 'gbce'
_PAIRWISE = {
  'squared_error': classification.squared_error,
  'binary_cross_entropy': classification.binary_cross_entropy,
}
# Logits [P, N] that are held at once where the config says nothing: 512 MB.
_MOST_LOGITS = 2**27
OBJECTIVES = (SOFTMAX, SAMPLED, *_PAIRWISE, GBCE)


class Objective(NamedTuple):
  """What is descended on P events, their targets and negatives given.

  Attributes:
    items: [M] int32, all items whose vectors are read; None where these are the whole catalogue.
    losses: vectors -> [P].
    divergence: vectors of two passes -> [P], how far apart what they predict is (R-Drop).
  """

  items: jax.Array | None
  losses: Callable[[Vectors], jax.Array]
  divergence: Callable[[Vectors, Vectors], jax.Array]


def make(
  config: FinetuneConfig,
  key: jax.Array,
  target: jax.Array,
  is_event: jax.Array,
  catalogue: Catalogue,
  recent: jax.Array | None = None,
) -> Objective:
  """The objective of a config on the events of a step.

  Args:
    config: names it and its negatives.
    key: typed key of the negatives; 'softmax' draws nothing.
    target: [P] int32, each one of the known items.
    is_event: [P] bool, False for padding.
    catalogue: of N items.
    recent: [M] int32, what `negatives.remember` keeps, if anything.
  """
  known = catalogue.known
  if config.objective == SOFTMAX:
    most = max(1, _MOST_LOGITS // len(target))
    chunk = config.softmax_chunk or (most if len(known) > most else 0)
    return _over_catalogue(target, known, chunk)
  sample = sampler(
    *(config.negatives, key, target, is_event, catalogue, recent),
    num_negatives=config.num_negatives,
    hard_factor=config.hard_factor,
  )
  if config.objective == SAMPLED:
    return _over_sample(target, known, sample)
  if config.objective == GBCE:
    return _calibrated(target, known, sample, config.calibration)
  return _over_pairs(_PAIRWISE[config.objective], target, sample)


def _over_catalogue(target: jax.Array, known: jax.Array, chunk: int) -> Objective:
  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    first, second = (vectors.users @ vectors.items.T for vectors in (one, other))
    return consistency.symmetric_kl(first, second, known)

  def losses(vectors: Vectors) -> jax.Array:
    return retrieval.full_softmax(vectors.users, vectors.items, target, known, chunk)

  return Objective(None, losses, divergence)


def _over_sample(target: jax.Array, known: jax.Array, sample: Sample) -> Objective:
  def given(vectors: Vectors, drawn: Drawn) -> tuple[jax.Array, jax.Array, jax.Array]:
    log_expected = drawn.offset[drawn.items] - jnp.log(known.sum())
    return _logits(vectors, target, drawn), log_expected, drawn.is_negative

  def losses(vectors: Vectors) -> jax.Array:
    return retrieval.sampled_softmax(*given(vectors, sample.draw(vectors)))

  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    drawn = sample.draw(one)
    first, second = (retrieval.corrected(*given(each, drawn)) for each in (one, other))
    return consistency.symmetric_kl(first, second, _shown(drawn))

  return Objective(_read(target, sample), losses, divergence)


def _over_pairs(
  loss: Callable[[jax.Array, jax.Array], jax.Array], target: jax.Array, sample: Sample
) -> Objective:
  """The sum over the pairs of an event, whose gradients are then as large as those of a softmax."""

  def logits(vectors: Vectors, drawn: Drawn) -> jax.Array:
    offset = drawn.offset[_compared(target, drawn)]
    return _logits(vectors, target, drawn) - offset

  def losses(vectors: Vectors) -> jax.Array:
    drawn = sample.draw(vectors)
    return (_shown(drawn) * loss(logits(vectors, drawn), _labels(drawn))).sum(1)

  return Objective(_read(target, sample), losses, _divergence_of_pairs(logits, sample))


def _calibrated(
  target: jax.Array, known: jax.Array, sample: Sample, calibration: float
) -> Objective:
  """gBCE, the sum over the pairs of an event."""

  def logits(vectors: Vectors, drawn: Drawn) -> jax.Array:
    return _logits(vectors, target, drawn) - jnp.log(known.sum())

  def losses(vectors: Vectors) -> jax.Array:
    drawn = sample.draw(vectors)
    rate = jnp.exp(drawn.offset[target]) / known.sum()
    weight = classification.calibration_weight(rate, calibration)[:, None]
    found = classification.binary_cross_entropy(logits(vectors, drawn), _labels(drawn), weight)
    return (_shown(drawn) * found).sum(1)

  return Objective(_read(target, sample), losses, _divergence_of_pairs(logits, sample))


def _divergence_of_pairs(
  logits: Callable[[Vectors, Drawn], jax.Array], sample: Sample
) -> Callable[[Vectors, Vectors], jax.Array]:
  def divergence(one: Vectors, other: Vectors) -> jax.Array:
    drawn = sample.draw(one)
    first, second = (logits(each, drawn) for each in (one, other))
    return (_shown(drawn) * consistency.symmetric_kl_of_pairs(first, second)).sum(1)

  return divergence


def _logits(vectors: Vectors, target: jax.Array, drawn: Drawn) -> jax.Array:
  """[P, 1 + K], u·M̂ of the target and then of the negatives."""
  users = vectors.users
  if drawn.items.ndim == 2:
    return jnp.einsum('pd,pkd->pk', users, vectors.of(_compared(target, drawn)))
  # Negatives that all events share are a product of matrices.
  of_target = jnp.einsum('pd,pd->p', users, vectors.of(target))
  return jnp.concatenate([of_target[:, None], users @ vectors.of(drawn.items).T], axis=1)


def _compared(target: jax.Array, drawn: Drawn) -> jax.Array:
  """[P, 1 + K], the target and then the negatives."""
  others = jnp.broadcast_to(drawn.items, drawn.is_negative.shape)
  return jnp.concatenate([target[:, None], others], axis=1)


def _read(target: jax.Array, sample: Sample) -> jax.Array:
  return jnp.concatenate([target, sample.candidates])


def _shown(drawn: Drawn) -> jax.Array:
  return jnp.pad(drawn.is_negative, ((0, 0), (1, 0)), constant_values=True)


def _labels(drawn: Drawn) -> jax.Array:
  return jnp.zeros(drawn.is_negative.shape[1] + 1).at[0].set(1.0)
