"""A user whose taste moves with what is shown, so that a choice changes the rewards of later ones.

Dean & Morgenstern (2022), Preference Dynamics Under Personalized Recommendations: users come to
like more what is shown and liked, and less what is shown and disliked (biased assimilation).
"""

import jax
import jax.numpy as jnp
from flax import struct

from rec_jax.environments.base import Environment, Metrics, known_metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class TasteData:
  """The catalogue, and how a taste moves.

  The truth of a seed is its user's taste. The items are what every policy is shown, as those of a
  shop are, and one table of them serves all seeds.

  Attributes:
    items: [K, F] float32, of length 1 each.
    noise_variance: [] of one reward around taste . item.
    taste_step: [] more than -1, the step size; above 0 the taste moves towards what it likes,
      below 0 it has enough of it and moves away, and at 0 it stays.
  """

  items: jax.Array
  noise_variance: jax.Array
  taste_step: jax.Array


def taste_environment() -> Environment:
  """One user a seed, with a taste from the unit sphere, who may be shown any item at any round.

  After an item: taste <- taste + taste_step * (taste . item) * item, scaled to length 1; after a
  slate, the sum of its steps. The best expected reward of a round is that of the taste which the
  items before it have made, so that regret tells what a round lost and the sum of expected rewards
  what the whole path was worth.

  Returns:
    An environment over `TasteData` whose state is the taste [F]; the query is a constant [1].
  """

  def init(key: jax.Array, data: TasteData) -> jax.Array:
    return _unit(jax.random.normal(key, data.items.shape[1:]))

  def observe(key: jax.Array, data: TasteData, taste: jax.Array, t: jax.Array) -> Context:
    del key, taste, t
    return one_user(jnp.ones(1), data.items)

  def step(
    key: jax.Array,
    data: TasteData,
    taste: jax.Array,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[jax.Array, Feedback, Metrics]:
    del t
    expected = data.items @ taste
    # Where nothing is shown nothing moves.
    liking = jnp.where(decision.index[0] < 0, 0.0, expected[decision.index[0]])
    reward = liking + jnp.sqrt(data.noise_variance) * jax.random.normal(key, liking.shape)
    metrics = known_metrics(context, decision, expected[None], reward[None])
    moved = taste + data.taste_step * liking @ data.items[decision.index[0]]
    return _unit(moved), outcome_rows(context, decision, reward[None]), metrics

  return Environment(init, observe, step)


def _unit(vector: jax.Array) -> jax.Array:
  """Of length 1 along the last axis."""
  return vector / jnp.linalg.norm(vector, axis=-1, keepdims=True)
