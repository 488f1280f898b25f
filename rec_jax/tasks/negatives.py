"""Which items a sampled objective compares the item of an event with, and how often each is drawn.

uniform: K for each event, from the items with a training event, all as likely.
popularity: K for each event, each as likely as it is frequent among the training events.
in_batch: the items of all other events of the step (Yi et al. 2019), for which the batch has drawn.
mixed: these and K that are drawn uniformly for all events together (Yang et al. 2020), so that
  items which few users choose are compared as well.
memory: the items of the step and of the events before it, as many as are remembered. Wang et al.
  2020 keep vectors, which age; here all item vectors are at hand, so it is numbers that are kept.
hard: for each event the K with the highest logits of a larger uniform sample. They stand for all of
  it: what the others would add to the sum over the catalogue is what is missing.

Draws are with replacement. A draw that is the item of the event itself, an accidental hit, is left
out. Whatever the law of the draws, the logarithm of how often they bring an item is taken off its
logit (Yi et al. 2019, eq. 5: s - log p), so that the sum over the catalogue is estimated without
bias: an item that is drawn often counts less each time.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

NEGATIVES = ('uniform', 'popularity', 'in_batch', 'mixed', 'memory', 'hard')


class Vectors(NamedTuple):
  """What a step compares.

  Attributes:
    users: [P, D].
    items: [N, D], or [M, D] of those items alone that the step reads.
    row: [N] int32, where among M an item stands; not given where all are there.
  """

  users: jax.Array
  items: jax.Array
  row: jax.Array | None = None

  def of(self, item: jax.Array) -> jax.Array:
    """[..., D] of items [...]."""
    return self.items[item if self.row is None else self.row[item]]


class Catalogue(NamedTuple):
  """What is known of N items before any is drawn.

  Attributes:
    known: [N] bool, items with a training event, of which there is one at least.
    counts: [N] int32, training events of each.
    frequency: [N] float32, share of the predicted events that are of each.
  """

  known: jax.Array
  counts: jax.Array
  frequency: jax.Array


class Drawn(NamedTuple):
  """The negatives of P events.

  Attributes:
    items: [K], the same for all events, or [P, K].
    is_negative: [P, K] bool, False where a draw is the item of the event, or none.
    offset: [N], log(N E(i)), E(i) being how often the draws of an event bring item i on average and
      N the number of known items: what is taken off a logit, but for a constant.
  """

  items: jax.Array
  is_negative: jax.Array
  offset: jax.Array


class Sample(NamedTuple):
  """Negatives of a step that may follow from its vectors, but pass no gradient to them.

  Attributes:
    candidates: [C] int32, all items that may be drawn.
    draw: draws them.
  """

  candidates: jax.Array
  draw: Callable[[Vectors], Drawn]


def sampler(
  name: str,
  key: jax.Array,
  target: jax.Array,
  is_event: jax.Array,
  catalogue: Catalogue,
  recent: jax.Array | None = None,
  *,
  num_negatives: int,
  hard_factor: int = 1,
) -> Sample:
  """Draws the negatives of a step.

  Args:
    name: one of `NEGATIVES`.
    key: typed key.
    target: [P] int32, the item of each event, a known one.
    is_event: [P] bool, False for padding.
    catalogue: of N items.
    recent: [M] int32, item index + 1 of events of earlier steps, 0 where there is none; 'memory'
      alone needs it.
    num_negatives: K; 'in_batch' and 'memory' have what they find.
    hard_factor: of how many times K draws 'hard' takes the highest.
  """
  shape = len(target), num_negatives
  if name == 'hard':
    return _hardest(key, target, catalogue.known, num_negatives, hard_factor)
  known, counts = catalogue.known, catalogue.counts
  if name == 'uniform':
    items = uniform(key, known, shape)
    drawn = Drawn(items, items != target[:, None], _evenly(num_negatives, known))
  elif name == 'popularity':
    items = _of_events(key, counts, shape)
    offset = _offset(num_negatives * (counts / counts.sum()), catalogue)
    drawn = Drawn(items, items != target[:, None], offset)
  else:
    drawn = _of_steps(name, key, target, is_event, catalogue, recent, num_negatives)
  return Sample(drawn.items.reshape(-1), lambda vectors: drawn)


def uniform(key: jax.Array, known: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Items of a shape, drawn uniformly, with replacement, from those that `known` [N] marks."""
  items = jnp.flatnonzero(known, size=len(known))
  return items[jax.random.randint(key, shape, 0, known.sum())]


def remember(recent: jax.Array, target: jax.Array, is_event: jax.Array) -> jax.Array:
  """[M], the items (index + 1) of a step's events [P] before those remembered, the oldest gone."""
  return jnp.concatenate([jnp.where(is_event, target + 1, 0), recent])[: len(recent)]


def _of_steps(
  name: str,
  key: jax.Array,
  target: jax.Array,
  is_event: jax.Array,
  catalogue: Catalogue,
  recent: jax.Array | None,
  num_negatives: int,
) -> Drawn:
  """The items of other events, and what is drawn beside them."""
  items, there = target, is_event
  # Of all events an event has the others.
  expected = (is_event.sum() - 1) * catalogue.frequency
  if name == 'mixed':
    more = uniform(key, catalogue.known, (num_negatives,))
    items = jnp.concatenate([items, more])
    there = jnp.pad(there, (0, num_negatives), constant_values=True)
    expected = expected + num_negatives / catalogue.known.sum()
  elif name == 'memory':
    if recent is None:
      raise ValueError('negatives of a memory need one')
    items = jnp.concatenate([items, jnp.maximum(recent - 1, 0)])
    there = jnp.concatenate([there, recent > 0])
    expected = expected + (recent > 0).sum() * catalogue.frequency
  return Drawn(items, there & (items != target[:, None]), _offset(expected, catalogue))


def _hardest(
  key: jax.Array, target: jax.Array, known: jax.Array, num_negatives: int, factor: int
) -> Sample:
  number = factor * num_negatives
  # One sample for all events: its logits are a product of matrices.
  drawn = uniform(key, known, (number,))
  is_other = drawn != target[:, None]

  def sample(vectors: Vectors) -> Drawn:
    vectors = jax.lax.stop_gradient(vectors)
    logits = jnp.where(is_other, vectors.users @ vectors.of(drawn).T, -jnp.inf)
    place = jax.lax.top_k(logits, num_negatives)[1]
    chosen = jnp.take_along_axis(is_other, place, axis=1)
    return Drawn(drawn[place], chosen, _evenly(number, known))

  return Sample(drawn, sample)


def _of_events(key: jax.Array, counts: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Items of a shape, each that of an event drawn uniformly from `counts` [N].

  By whole numbers: a cumulative share in float32 would lose items of few events among millions.
  """
  up_to = jnp.cumsum(counts)
  return jnp.searchsorted(up_to, jax.random.randint(key, shape, 0, up_to[-1]), side='right')


def _evenly(number: int, known: jax.Array) -> jax.Array:
  return jnp.full(known.shape, jnp.log(number))


def _offset(expected: jax.Array, catalogue: Catalogue) -> jax.Array:
  """[N]; an item that is never drawn is never looked up but for padding, which must be finite."""
  return jnp.log(jnp.maximum(expected * catalogue.known.sum(), 1e-30))
