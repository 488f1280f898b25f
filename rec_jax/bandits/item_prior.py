"""What is believed of each item before anybody is asked: its popularity, and how sure that is."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

# Rewards are 0 or 1 with a mean of some 0.3: their variance is about 0.2. Only the product with
# the prior precision matters to the mean, so that one is tuned and this one is not.
NOISE_VARIANCE = 0.2
# Before any event an item pleases one user in ten.
NEW_ITEM = 1.0, 9.0


@dataclasses.dataclass(frozen=True)
class ItemPrior:
  """A Beta prior of the reward of each item, and the events behind it.

  Attributes:
    a0: [N] successes.
    b0: [N] failures.
    num_events: [N] of each item.
  """

  a0: np.ndarray
  b0: np.ndarray
  num_events: np.ndarray

  @property
  def mean(self) -> np.ndarray:
    """[N], the expected reward."""
    return self.a0 / (self.a0 + self.b0)


def of_events(item: np.ndarray, reward: np.ndarray, num_users: int, num_items: int) -> ItemPrior:
  """The prior of a catalogue in which a user who has not chosen an item has passed over it.

  Args:
    item: [E] of the events.
    reward: [E] 0 or 1.
    num_users: who could have chosen.
    num_items: N.
  """
  positives = np.bincount(item, reward, minlength=num_items)
  num_events = np.bincount(item, minlength=num_items)
  # Nobody has passed over an item that was not there yet.
  negatives = np.where(num_events == 0, 0, num_users - positives)
  return ItemPrior(NEW_ITEM[0] + positives, NEW_ITEM[1] + negatives, num_events)


def doubt(features: ArrayLike, num_events: ArrayLike, lambda_: ArrayLike) -> dict[str, Any]:
  """How much of an item's reward neither its popularity nor its features tell.

  Features of items that are little known are shrunk towards the mean, and a posterior of tastes
  takes short features for certain rewards. Before any event an item is as doubtful as the one of
  the longest features; an event beforehand tells of it what one later does, to which the tastes of
  users are noise.

  Args:
    features: [N, F].
    num_events: [N] beforehand.
    lambda_: prior precision of the tastes.

  Returns:
    The hyperparameters `item_variance` [N] and `item_noise` [] of `popularity_linear`.
  """
  longest = jnp.max(jnp.sum(jnp.asarray(features) ** 2, axis=1)) / lambda_
  precision = 1 / longest + jnp.asarray(num_events) / (NOISE_VARIANCE + longest)
  return {'item_variance': 1 / precision, 'item_noise': longest}
