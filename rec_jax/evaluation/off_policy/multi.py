"""Logs of several loggers, and weights that do not come from the logged propensity.

Each gives `Terms` of `estimators` or weights for them, so intervals and diagnostics are shared.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import (
  Rounds,
  Terms,
  at_position,
  dr,
)


def naive_multi(rounds: Rounds, *, lambda_: ArrayLike = jnp.inf) -> Terms:
  """Each round weighted by its own logger (Agarwal et al. 2017): plain IPW or DR.

  Args:
    rounds: from `match` with the propensities of each round's own logger; without `q_hat` the
      estimate is IPW, with it DR. So for all loggers here.
    lambda_: weights are clipped at it.
  """
  return dr(rounds, lambda_=lambda_)


def balanced_multi(
  rounds: Rounds, average_pscore: ArrayLike, *, lambda_: ArrayLike = jnp.inf
) -> Terms:
  """Each round weighted by the mixture of all loggers (Agarwal et al. 2017).

  Args:
    rounds: as in `naive_multi`; their weights are not used.
    average_pscore: [n] of the logged action under the mixture, see `mixture_pscore`.
    lambda_: weights are clipped at it.
  """
  weight = rounds.target / jnp.asarray(average_pscore)
  return dr(dataclasses.replace(rounds, weight=weight), lambda_=lambda_)


def weighted_multi(
  rounds: Rounds, stratum: ArrayLike, num_strata: int, *, lambda_: ArrayLike = jnp.inf
) -> Terms:
  """Loggers weighted by their inverse variance (Agarwal et al. 2017).

  The corrections are weighted; the direct part, which needs no weights, is averaged over all. The
  variance of a logger is taken as that of all rewards times the mean square of its own weights.
  Taken from its own rewards it would follow them: a logger with few clicks would seem a sharp one,
  and one without any the sharpest of all.

  Args:
    rounds: as in `naive_multi`.
    stratum: [n] int in [0, num_strata), the logger of each round; some may have none.
    num_strata: number of loggers.
    lambda_: weights are clipped at it.
  """
  terms = dr(rounds, lambda_=lambda_)
  stratum = jnp.asarray(stratum)
  weight = jnp.minimum(rounds.weight, lambda_)
  size = jax.ops.segment_sum(jnp.ones_like(weight), stratum, num_strata)
  square = jax.ops.segment_sum(weight**2, stratum, num_strata)
  # A logger that never did what the policy does says nothing of it. Else weights average 1 in
  # truth, and so their mean square is no less.
  precision = jnp.where(square > 0, size / jnp.maximum(square / jnp.maximum(size, 1), 1), 0)
  share = precision / jnp.sum(precision) * stratum.shape[0] / jnp.maximum(size, 1)
  return Terms(terms.direct, terms.correction * share[stratum], terms.normaliser)


def mixture_pscore(pscores: ArrayLike, stratum: ArrayLike) -> jax.Array:
  """[n] propensity under the mixture of the loggers, each in proportion to its rounds.

  Args:
    pscores: [n, loggers] of the logged action under every logger.
    stratum: [n] int, the logger of each round.
  """
  pscores = jnp.asarray(pscores)
  num_loggers = pscores.shape[1]
  share = jnp.bincount(jnp.asarray(stratum), length=num_loggers) / pscores.shape[0]
  return pscores @ share.astype(pscores.dtype)


def marginal_weight(
  action_dist: ArrayLike,
  pi_b: ArrayLike,
  action_embed: ArrayLike,
  p_e_a: ArrayLike,
  position: ArrayLike | None = None,
) -> jax.Array:
  """Weights of MIPS (Saito & Joachims 2022): p(e|x, pi_e) / p(e|x, pi_b).

  IPW with these as its weights is MIPS. The probability of an embedding is that of all its
  dimensions together given the action, then summed over actions; with one dimension this is what
  OBP computes, which takes the product of the marginals with more.

  Args:
    action_dist: [n, K, L] evaluated policy.
    pi_b: [n, K, L] behaviour policy.
    action_embed: [n, D] int, the category logged in each dimension.
    p_e_a: [K, C, D] probability of each category given the action.
    position: [n] int in [0, L); 0 if not given.

  Returns:
    [n] weights.
  """
  action_dist, action_embed = jnp.asarray(action_dist), jnp.asarray(action_embed)
  num_rounds, num_dimensions = action_embed.shape
  position = jnp.zeros(num_rounds, jnp.int32) if position is None else jnp.asarray(position)
  p_e_a = jnp.asarray(p_e_a)
  likelihood = jnp.ones((num_rounds, action_dist.shape[1]), action_dist.dtype)
  for d in range(num_dimensions):
    likelihood *= p_e_a[:, action_embed[:, d], d].T
  evaluated, behaviour = (
    jnp.sum(at_position(jnp.asarray(policy), position) * likelihood, axis=1)
    for policy in (action_dist, pi_b)
  )
  return evaluated / behaviour
