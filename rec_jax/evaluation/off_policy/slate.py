"""Off-policy estimators for slates: the value is the sum of the rewards of all positions.

Propensities are those that policies of this package log: of position l given the positions before
it. What OBP calls `pscore_cascade` is their cumulative product, its `pscore` the product.

What a user is taken to look at says which weights a reward gets; `ips` and `snips` then estimate.
Shorter slates are filled with reward 0 and probability 1, which changes nothing.

Shape letters: n slates, L positions, K actions.
"""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import Terms


def standard_weights(pscore: ArrayLike, target: ArrayLike) -> np.ndarray:
  """[n, L] the whole slate's weight on all its rewards; no assumption on the user.

  Args:
    pscore: [n, L] of each position given those before it, under the policy that logged.
    target: [n, L] likewise under the evaluated policy.
  """
  ratio = np.asarray(target) / np.asarray(pscore)
  return np.repeat(ratio.prod(axis=1, keepdims=True), ratio.shape[1], axis=1)


def independent_weights(pscore: ArrayLike, target: ArrayLike) -> np.ndarray:
  """[n, L] each position's own (Li et al. 2018): rewards depend on item and position alone.

  Args:
    pscore: [n, L] MARGINAL probability of the item at its position, under the logging policy.
    target: [n, L] likewise under the evaluated policy.
  """
  return np.asarray(target) / np.asarray(pscore)


def interaction_weights(pscore: ArrayLike, target: ArrayLike) -> np.ndarray:
  """[n, L] of the positions so far (McInerney et al. 2020): users read from the top.

  Arguments as in `standard_weights`.
  """
  return np.cumprod(np.asarray(target) / np.asarray(pscore), axis=1)


def pseudo_inverse_weights(pscore: ArrayLike, target: ArrayLike) -> np.ndarray:
  """[n, L] of the pseudo-inverse estimator where the policy that logged draws positions apart.

  Swaminathan et al. (2017): unbiased if the slate's reward is a sum of unknown parts, one an item
  and position. Weights may be negative, and average 1.

  Args:
    pscore: [n, L] of each item at its position, whatever stands at the others.
    target: [n, L] MARGINAL probability of the item at its position under the evaluated policy,
      which may draw positions together.
  """
  ratio = np.asarray(target) / np.asarray(pscore)
  weight = ratio.sum(axis=1, keepdims=True) - ratio.shape[1] + 1
  return np.repeat(weight, ratio.shape[1], axis=1)


def pseudo_inverse_of_permutations(action: ArrayLike, marginal: ArrayLike) -> np.ndarray:
  """[n, L] likewise where the logged slates are uniform among those without repetition.

  The second moments of such slates have three eigenvalues other than 0: L / K for the sum of all
  indicators, (K - L) / (K (K - 1)) for how often an item is shown at all, and 1 / (K - 1) for where
  it stands. The pseudo-inverse divides by them, and no matrix is formed.

  Args:
    action: [n, L] int in [0, K), each at most once in a slate.
    marginal: [n, L, K] probability of each item at each position under the evaluated policy, none
      of whose slates has an item twice.
  """
  action, marginal = np.asarray(action), np.asarray(marginal)
  _, num_positions, num_actions = marginal.shape
  placed = np.take_along_axis(marginal, action[:, :, None], axis=2).sum((1, 2))
  shown = np.take_along_axis(marginal.sum(1), action, axis=1).sum(1)
  weight = 1 + (num_actions - 1) * (placed - shown / num_positions)
  if num_actions > num_positions:
    scale = num_actions * (num_actions - 1) / (num_actions - num_positions)
    weight = weight + scale * (shown / num_positions - num_positions / num_actions)
  return np.repeat(weight[:, None], num_positions, axis=1)


def ips(reward: ArrayLike, weight: ArrayLike) -> Terms:
  """Weighted rewards [n, L], summed over positions: terms of n slates, as everywhere here."""
  return _plain((jnp.asarray(weight) * jnp.asarray(reward)).sum(1))


def snips(reward: ArrayLike, weight: ArrayLike) -> Terms:
  """The same, self-normalised at each position; the value does not exceed what rewards allow.

  Positions have normalisers of their own, so that terms are the linearised ones (the delta method):
  their mean is the estimate, and their spread is its.
  """
  reward, weight = jnp.asarray(reward), jnp.asarray(weight)
  scale = weight.mean(0)
  ratio = (weight * reward).mean(0) / scale
  return _plain((ratio + weight * (reward - ratio) / scale).sum(1))


def cascade_dr(
  reward: ArrayLike,
  action: ArrayLike,
  pscore: ArrayLike,
  target: ArrayLike,
  action_dist: ArrayLike,
  q_hat: ArrayLike,
) -> Terms:
  """Cascade doubly robust (Kiyohara et al. 2022): weights of `interaction_weights` with a model.

  Args:
    reward: [n, L].
    action: [n, L] int in [0, K).
    pscore: [n, L] as in `standard_weights`.
    target: [n, L] likewise.
    action_dist: [n, L, K] evaluated policy at each position given the logged ones before it.
    q_hat: [n, L, K] model of the sum of rewards from position l on, given the logged actions
      before it, under the evaluated policy afterwards; see `slate_models`.
  """
  q_hat, reward = jnp.asarray(q_hat), jnp.asarray(reward)
  weight = jnp.asarray(interaction_weights(pscore, target))
  before = jnp.concatenate([jnp.ones_like(weight[:, :1]), weight[:, :-1]], axis=1)
  q_logged = jnp.take_along_axis(q_hat, jnp.asarray(action)[..., None], axis=2)[..., 0]
  q_target = jnp.sum(jnp.asarray(action_dist) * q_hat, axis=2)
  return _plain((weight * (reward - q_logged) + before * q_target).sum(1))


def _plain(value: ArrayLike) -> Terms:
  value = jnp.asarray(value)
  return Terms(jnp.zeros_like(value), value, jnp.ones_like(value))
