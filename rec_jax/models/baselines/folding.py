"""User vectors of new users, for models that learn one vector for each user they know.

The vectors of the known users are regressed, by ridge, on the sum of the item vectors of their
history over the root of its length, and a constant: a new user gets what that predicts.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.models.baselines import ease
from rec_jax.models.baselines.events import Events

# Share of the mean square of the features that the penalty is.
_RIDGE = 1e-3


def regress(users: jax.Array, items: jax.Array, events: Events) -> jax.Array:
  """[D + 1, D] coefficients of user vectors [U, D] on those of items [N, D] in the events."""
  sums = jnp.zeros_like(users).at[jnp.asarray(events.user)].add(items[jnp.asarray(events.item)])
  count = jnp.zeros(len(users)).at[jnp.asarray(events.user)].add(1)
  features = _features(sums, count)
  gram = features.T @ features
  ridge = _RIDGE * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
  return jnp.linalg.solve(gram + ridge, features.T @ users)


def fold_in(coefficients: jax.Array, items: jax.Array, histories: ArrayLike) -> jax.Array:
  """[B, D] user vectors of histories [B, L], item indices shifted by 1, 0 being padding."""
  seen = ease.recency_weights(jnp.asarray(histories), 1.0, len(items))
  return _features(seen @ items, seen.sum(1)) @ coefficients


def _features(sums: jax.Array, count: jax.Array) -> jax.Array:
  scaled = sums / jnp.sqrt(jnp.maximum(count, 1))[:, None]
  return jnp.concatenate([scaled, jnp.ones((len(sums), 1))], axis=1)
