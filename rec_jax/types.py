"""The nouns that cross package borders.

Host-side tables (`Interactions`, `ItemTable`) are frozen dataclasses of NumPy arrays. What
enters a jitted function (`Context`, `Decision`, `Feedback`) is a pytree.

Shape letters: S seeds and settings, U users, N items or arms, E events, B users deciding at
once, K candidates, L slate length, F candidate features, D query features, M samples.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import struct


class InputError(ValueError):
  """What a user gave is wrong; the message is one line: what, where, and what to do.

  Scripts print it and exit with status 1. Anything else that is raised is a bug and keeps its
  traceback.
  """


@dataclasses.dataclass(frozen=True)
class Interactions:
  """Events in the order of (timestamp, source row), one per (user, item) unless repeats are kept.

  Attributes:
    user: [E] int32, index into `user_ids`.
    item: [E] int32, index into the `ItemTable`.
    timestamp: [E] int64, seconds since 1970.
    rating: [E] float32, or None where feedback is implicit (the event itself is the reward).
    user_ids: [U] the ids of the source as strings, in order of first appearance.
  """

  user: np.ndarray
  item: np.ndarray
  timestamp: np.ndarray
  rating: np.ndarray | None
  user_ids: np.ndarray

  @property
  def num_events(self) -> int:
    return len(self.user)

  @property
  def num_users(self) -> int:
    return len(self.user_ids)

  @functools.cached_property
  def has_repeats(self) -> bool:
    """Whether a user has several events with an item; what they met is then recommended again."""
    pair = self.user.astype(np.int64) * (int(self.item.max(initial=0)) + 1) + self.item
    return len(np.unique(pair)) < len(pair)

  def reward(self, threshold: float) -> np.ndarray:
    """[E] float32: 1 where the rating reaches `threshold`, and everywhere without ratings."""
    if self.rating is None:
      return np.ones(self.num_events, np.float32)
    return (self.rating >= threshold).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ItemTable:
  """The catalogue.

  Attributes:
    ids: [N] the ids of the source as strings.
    text: [N] one string an item, never empty.
  """

  ids: np.ndarray
  text: np.ndarray

  @property
  def num_items(self) -> int:
    return len(self.ids)


class ArmSpec(NamedTuple):
  """The sizes a policy is built for; all are static.

  Attributes:
    num_arms: N, rows of per-arm state.
    num_candidates: K, candidates of one decision, masked ones included.
    query_dim: D, features of the deciding user.
    arm_dim: F, features of a candidate.
    slate_size: L, distinct items chosen at once.
    num_users: U, rows of per-user state.
  """

  num_arms: int
  num_candidates: int
  query_dim: int
  arm_dim: int
  slate_size: int = 1
  num_users: int = 1


@struct.dataclass
class Context:
  """What one decision may depend on.

  Attributes:
    user_id: [] int32 in [0, U).
    query: [D] float32, features of the user.
    features: [K, F] float32, features of the candidates.
    arm_ids: [K] int32 in [0, N), which arm each candidate is.
    mask: [K] bool, False where a candidate may not be chosen.
  """

  user_id: jax.Array
  query: jax.Array
  features: jax.Array
  arm_ids: jax.Array
  mask: jax.Array


@struct.dataclass
class Decision:
  """What a policy chose for one context.

  Attributes:
    index: [L] int32 in [0, K), positions among the candidates, -1 where all are masked.
    arm_id: [L] int32 in [0, N), -1 likewise.
    propensity: [L] float32, probability of position l given those before it; NaN unless a log
      is recorded.
    info: whatever the policy wants back with the feedback, leaves with a leading [L].
  """

  index: jax.Array
  arm_id: jax.Array
  propensity: jax.Array
  info: Any = ()


@struct.dataclass
class Feedback:
  """Outcomes of B choices with what was true when each was made, so that it may come late.

  Attributes:
    user_id: [B] int32.
    query: [B, D] float32.
    features: [B, F] float32, of the chosen candidate.
    arm_id: [B] int32.
    propensity: [B] float32.
    reward: [B] float32.
    weight: [B] float32, multiplies the log-likelihood; 0 is padding and changes nothing.
    info: what the decision carried, with a leading [B].
  """

  user_id: jax.Array
  query: jax.Array
  features: jax.Array
  arm_id: jax.Array
  propensity: jax.Array
  reward: jax.Array
  weight: jax.Array
  info: Any = ()
