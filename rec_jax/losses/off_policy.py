"""Objectives of softmax policies learnt from feedback that another policy logged.

The policy takes candidate k with probability softmax(logits)_k, logits being u · M̂(k) or any other
score; -inf leaves a candidate out. Losses are negative rewards, so descent improves the policy, and
all of them are per example but `counterfactual_risk`, which takes the losses of a whole log.

A constant added to all rewards changes what `ipw`, `top_k` and `counterfactual_risk` teach: weights
do not average 1 over a log, so where all rewards are positive a policy gains by giving the logged
actions more weight than they may have, whatever each of them earned (propensity overfitting,
Swaminathan & Joachims, NeurIPS 2015). Rewards are therefore given from a baseline on.

Shape letters: n rounds, K candidates.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

# Enough for conjugate gradients on the few distinct eigenvalues that count; more rounds off.
_CG_STEPS = 100


def ipw(
  logits: jax.Array,
  action: jax.Array,
  propensity: jax.Array,
  reward: jax.Array,
  *,
  max_weight: ArrayLike = jnp.inf,
) -> jax.Array:
  """Negative reward by inverse probability weighting; its gradient is the off-policy gradient.

  Args:
    logits: [..., K] of the policy that learns.
    action: [...] int32, the logged candidate.
    propensity: [...] in (0, 1], with which it was logged.
    reward: [...].
    max_weight: at which weights are clipped; a clipped round has no gradient.

  Returns:
    [...] whose mean over the log is minus the IPW estimate of the policy's value.
  """
  return -_weight(logits, action, propensity, max_weight) * reward


def dr(
  logits: jax.Array,
  action: jax.Array,
  propensity: jax.Array,
  reward: jax.Array,
  q_hat: jax.Array,
  *,
  max_weight: ArrayLike = jnp.inf,
) -> jax.Array:
  """Negative reward by the doubly robust estimator (Dudik et al. 2014, equation 8).

  Args:
    logits: [..., K], as in `ipw`, with the other arguments.
    action: [...].
    propensity: [...].
    reward: [...].
    q_hat: [..., K] expected rewards of a model that was not fitted on the same rounds.
    max_weight: at which weights are clipped.

  Returns:
    [...] whose mean over the log is minus the DR estimate of the policy's value.
  """
  residual = reward - _of_action(q_hat, action)
  return expected(logits, q_hat) - _weight(logits, action, propensity, max_weight) * residual


def expected(logits: jax.Array, rewards: jax.Array) -> jax.Array:
  """Minus the policy's expectation of `rewards`: the direct method, of which no choice is logged.

  With lower confidence bounds for rewards it is pessimistic learning: the policy earns at least
  this wherever the bounds hold, and is drawn to no candidate for being unknown (Jin, Yang & Wang
  2021; Rashidinejad et al. 2021).

  Args:
    logits: [..., K].
    rewards: [..., K] of each candidate, by a model or a bound.

  Returns:
    [...].
  """
  return -(jax.nn.softmax(logits) * rewards).sum(-1)


def top_k(
  logits: jax.Array,
  action: jax.Array,
  propensity: jax.Array,
  reward: jax.Array,
  *,
  slate_size: int,
  max_weight: ArrayLike = jnp.inf,
) -> jax.Array:
  """REINFORCE with top-K off-policy correction (Chen et al. 2019, section 4.3).

  For a slate of k draws of the policy with replacement, in which the reward of an item is the same
  wherever it stands. Its gradient is the paper's, -w k (1 - pi)^(k - 1) reward grad log pi with the
  weight w = pi / propensity capped; unlike in `ipw`, capped rounds still count. Its value means
  nothing.

  Args:
    logits: [..., K], as in `ipw`, with the other arguments.
    action: [...].
    propensity: [...] of the one item that was logged.
    reward: [...].
    slate_size: k; 1 is plain off-policy REINFORCE.
    max_weight: at which weights are capped.

  Returns:
    [...].
  """
  log_prob = _of_action(jax.nn.log_softmax(logits), action)
  prob = jnp.exp(log_prob)
  # d/dpi of 1 - (1 - pi)^k, the probability that the item is in the slate.
  multiplier = slate_size * (1 - prob) ** (slate_size - 1)
  scale = jnp.minimum(prob / propensity, max_weight) * multiplier
  return -jax.lax.stop_gradient(scale) * reward * log_prob


def counterfactual_risk(
  losses: jax.Array, *, penalty: ArrayLike, num_rounds: ArrayLike
) -> jax.Array:
  """POEM's objective (Swaminathan & Joachims 2015, JMLR): mean + penalty * standard error.

  Args:
    losses: [n] of the log or of rounds drawn from it, such as `ipw` with clipped weights.
    penalty: how many standard errors are added; 0 minimises the mean alone.
    num_rounds: in the whole log, of which the standard error is.

  Returns:
    [] with gradient 0 of the penalty where all losses are equal.
  """
  variance = jnp.var(losses, ddof=1) / num_rounds
  # The root has no gradient at 0.
  positive = variance > 0
  error = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), 0)
  return losses.mean() + penalty * error


def natural_gradient(
  logits_of: Callable[[Any], jax.Array], params: Any, gradient: Any, *, damping: ArrayLike
) -> Any:
  """(F + damping I)^-1 gradient, F the Fisher information of the policy (Kakade 2002).

  F is the mean over contexts of the covariance of grad log pi(a) under the policy itself. It is
  never formed: conjugate gradients need its products only, a Jacobian product either way.

  Args:
    logits_of: params -> [n, K], logits of the n contexts.
    params: pytree at which F is taken.
    gradient: of any objective, the same structure.
    damping: >= 0. Without, logits that may shift together make F singular; steps along what does
      not change the policy are then 0.

  Returns:
    The structure of `params`.
  """
  logits, push = jax.linearize(logits_of, params)
  pull = jax.linear_transpose(push, params)
  prob = jax.nn.softmax(logits)

  def product(vector: Any) -> Any:
    change = push(vector)
    centred = change - (prob * change).sum(-1, keepdims=True)
    (back,) = pull(prob * centred / len(logits))
    return jax.tree.map(lambda fisher, own: fisher + damping * own, back, vector)

  return jax.scipy.sparse.linalg.cg(product, gradient, maxiter=_CG_STEPS)[0]


def _weight(
  logits: jax.Array, action: jax.Array, propensity: jax.Array, max_weight: ArrayLike
) -> jax.Array:
  return jnp.minimum(_of_action(jax.nn.softmax(logits), action) / propensity, max_weight)


def _of_action(values: jax.Array, action: jax.Array) -> jax.Array:
  return jnp.take_along_axis(values, action[..., None], axis=-1)[..., 0]
