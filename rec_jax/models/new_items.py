"""Where items that nobody has met come in a ranking: a prior on their logits, and a first place.

How popular an item will be is not what it is like. What is guessed of it is added to its logit and
stands apart from taste, so that vectors of new items mean what those of others do.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from rec_jax.models.linear_path import Buffer

# Places that known items may keep ahead of any new one; 0 keeps none.
PLACES = (0, 5, 7, 8, 9)


class NewItems(nnx.Module):
  """The prior of items without an id.

  Attributes:
    bias: [N], what is added to the logit of an item if it has no id.
    place: [] int32, one of `PLACES`: that many known items stay ahead of any new one. A new item at
      the foot of a list costs the least of what it may cost.
  """

  def __init__(self, num_items: int):
    self.bias = Buffer(jnp.zeros(num_items))
    self.place = Buffer(jnp.int32(0))

  def __call__(
    self,
    logits: jax.Array,
    has_id: jax.Array,
    history: jax.Array,
    met: ArrayLike | None = None,
  ) -> jax.Array:
    """Logits [B, N] with the prior.

    With t the logit of a new item less that of the known one at place k + 1, and g the distance of
    the known ones at places k and k + 1, what is above becomes g t / (t + g): new items keep their
    order and all known ones behind place k that they were ahead of, and stay below place k.

    Args:
      logits: [B, N], u·M̂(i).
      has_id: [N] bool.
      history: [B, L] int32, item index + 1, 0 for padding.
      met: [B, N] bool, items that take no place, for they are not recommended again; those of the
        history if not given.
    """
    met = _in_history(history, logits.shape[1]) if met is None else jnp.asarray(met)
    raised = jnp.where(has_id, logits, logits + self.bias[...])
    number = min(max(PLACES) + 1, logits.shape[1])
    leading = jax.lax.top_k(jnp.where(has_id & ~met, logits, -jnp.inf), number)[0]
    place = jnp.minimum(self.place[...], number - 1)
    at, behind = leading[:, jnp.maximum(place - 1, 0)], leading[:, place]
    gap, above = (at - behind)[:, None], raised - behind[:, None]
    lowered = behind[:, None] + gap * above / jnp.maximum(above + gap, 1e-30)
    # With fewer known items than places there is none to stay behind of.
    capped = (place > 0) & jnp.isfinite(behind)[:, None] & (above > 0) & ~has_id
    return jnp.where(capped, lowered, raised)


def log_popularity(item: np.ndarray, time: np.ndarray, num_items: int) -> np.ndarray:
  """[N] float32, the logarithm of how often an item is met, once it is there, less its mean.

  An item is there from its first event on; what comes after it is Poisson with a rate of its own,
  of which one event at the mean rate is known beforehand: n / (share of the time + 1 / mean rate),
  the mean of the gamma posterior. Counts alone take young items for unpopular ones.

  Args:
    item: [E] of training events.
    time: [E].
    num_items: N; items without an event get 0.
  """
  number = np.bincount(item, minlength=num_items)
  known, first = number > 0, np.full(num_items, np.inf)
  np.minimum.at(first, item, time.astype(np.float64))
  there = time.max(initial=0) - first[known]
  longest = there.max(initial=0)
  there = there / longest if longest > 0 else np.ones(len(there))
  rate = (number[known] - 1).sum() / there.sum() if known.any() else 0.0
  found = np.zeros(num_items)
  if rate > 0:
    found[known] = np.log(number[known] / (there + 1 / rate))
    found[known] -= found[known].mean()
  return found.astype(np.float32)


def _in_history(history: jax.Array, num_items: int) -> jax.Array:
  """[B, N] bool, the items of histories [B, L]: item index + 1, 0 for padding."""
  column = jnp.where(history > 0, history - 1, num_items)
  met = jnp.zeros((len(history), num_items), bool)
  return met.at[jnp.arange(len(history))[:, None], column].set(True, mode='drop')
