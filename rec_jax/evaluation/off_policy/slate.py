"""Off-policy estimators for slates: the value is the sum of the rewards of all positions.

Propensities are those that policies of this package log: of position l given the positions before
it. What OBP calls `pscore_cascade` is their cumulative product, its `pscore` the product.

Shape letters: n slates, L positions, K actions.
"""

import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import Terms


def standard_ips(reward: ArrayLike, pscore: ArrayLike, target: ArrayLike) -> Terms:
  """The whole slate's weight on all its rewards; no assumption on the user.

  Args:
    reward: [n, L].
    pscore: [n, L] of each position given those before it, under the policy that logged.
    target: [n, L] likewise under the evaluated policy.

  Returns:
    Terms of n slates, as everywhere here.
  """
  weight = jnp.prod(jnp.asarray(target) / jnp.asarray(pscore), axis=1)
  return _plain(weight * jnp.asarray(reward).sum(1))


def independent_ips(reward: ArrayLike, pscore: ArrayLike, target: ArrayLike) -> Terms:
  """Each position's own weight (Li et al. 2018): rewards depend on item and position alone.

  Args:
    reward: [n, L].
    pscore: [n, L] MARGINAL probability of the item at its position, under the logging policy.
    target: [n, L] likewise under the evaluated policy.
  """
  weight = jnp.asarray(target) / jnp.asarray(pscore)
  return _plain((weight * jnp.asarray(reward)).sum(1))


def reward_interaction_ips(reward: ArrayLike, pscore: ArrayLike, target: ArrayLike) -> Terms:
  """Weights of the positions so far (McInerney et al. 2020): users read from the top.

  Arguments as in `standard_ips`.
  """
  weight = jnp.cumprod(jnp.asarray(target) / jnp.asarray(pscore), axis=1)
  return _plain((weight * jnp.asarray(reward)).sum(1))


def cascade_dr(
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  action_dist: ArrayLike,
  q_hat: ArrayLike,
) -> Terms:
  """Cascade doubly robust (Kiyohara et al. 2022): cascade weights with a model.

  Args:
    reward: [n, L].
    action: [n, L] int in [0, K).
    pscore: [n, L] as in `standard_ips`.
    target: [n, L] likewise.
    action_dist: [n, L, K] evaluated policy at each position given the logged ones before it.
    q_hat: [n, L, K] model of the sum of rewards from position l on, given the logged actions
      before it, under the evaluated policy afterwards.
  """
  q_hat, reward = jnp.asarray(q_hat), jnp.asarray(reward)
  weight = jnp.cumprod(jnp.asarray(target) / jnp.asarray(pscore), axis=1)
  before = jnp.concatenate([jnp.ones_like(weight[:, :1]), weight[:, :-1]], axis=1)
  q_logged = jnp.take_along_axis(q_hat, jnp.asarray(action)[..., None], axis=2)[..., 0]
  q_target = jnp.sum(jnp.asarray(action_dist) * q_hat, axis=2)
  return _plain((weight * (reward - q_logged) + before * q_target).sum(1))


def _plain(value: ArrayLike) -> Terms:
  value = jnp.asarray(value)
  return Terms(jnp.zeros_like(value), value, jnp.ones_like(value))
