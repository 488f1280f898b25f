"""Reward models of logs in which few contexts occur, fitted to their sums.

Rounds of one context and one action differ in nothing that a model reads, so their number and the
sum of their rewards is all that a weighted fit needs: the models are those of `cross_fit` on the
rounds themselves, and their cost does not grow with the rounds.

Shape letters: U contexts, K actions, L positions, J folds, D context features, A action features.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.reward_models import Params, RewardModel

# Cells of the table of sums: 2^28 take 2 GiB.
MOST_CELLS = 1 << 28


def cross_fit_sums(
  key: jax.Array,
  model: RewardModel,
  *,
  context: ArrayLike,
  action_context: ArrayLike,
  count: np.ndarray,
  total: np.ndarray,
) -> np.ndarray:
  """Expected rewards in each fold, by the models of the other folds; each position has its own.

  Args:
    key: typed key; split over folds and positions.
    model: how to learn; its loss must be linear in the reward, as those of `ridge` and `logistic`
      are in what depends on the parameters.
    context: [U, D].
    action_context: [K, A].
    count: [J, L, U, K] rounds of each kind.
    total: [J, L, U, K] sums of their rewards.

  Returns:
    [J, L, U, K].

  Raises:
    ValueError: there are fewer than two folds.
  """
  num_folds, num_positions, num_users, _ = count.shape
  if num_folds < 2:
    raise ValueError('expected at least two folds, so that no round judges itself')
  context, action_context = jnp.asarray(context), jnp.asarray(action_context)
  user, action = np.nonzero(count.sum((0, 1)))
  inputs = jnp.concatenate([context[user], action_context[action]], axis=1)
  sums = [
    (table.sum(0) - table)[:, :, user, action].reshape(num_folds * num_positions, len(user))
    for table in (count, total)
  ]
  weight = jnp.asarray(sums[0], inputs.dtype)
  reward = jnp.asarray(sums[1], inputs.dtype) / jnp.maximum(weight, 1)
  keys = jax.random.split(key, num_folds * num_positions)
  fitted = _fit(model, keys, inputs, reward, weight)
  found = [
    np.asarray(_predict(model, fitted, context[rows], action_context))
    for rows in np.array_split(np.arange(num_users), max(1, num_users // 1_000))
  ]
  return np.concatenate(found, axis=1).reshape(count.shape)


@functools.partial(jax.jit, static_argnames='model')
def _fit(
  model: RewardModel, keys: jax.Array, inputs: jax.Array, reward: jax.Array, weight: jax.Array
) -> Params:
  """Parameters with a leading axis of [m] keys; reward and weight are [m, rows]."""
  return jax.vmap(model.fit, in_axes=(0, None, 0, 0))(keys, inputs, reward, weight)


@functools.partial(jax.jit, static_argnames='model')
def _predict(
  model: RewardModel, params: Params, context: jax.Array, action_context: jax.Array
) -> jax.Array:
  """[m, U, K] of m models."""

  def one(group: jax.Array) -> jax.Array:
    groups = jnp.full(len(context), group)
    return model.predict(params, groups, context, action_context[None])

  return jax.lax.map(one, jnp.arange(len(jax.tree.leaves(params)[0])))
