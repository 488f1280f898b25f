"""Beliefs of the registry that are made of others."""

import jax.numpy as jnp
from jax.typing import ArrayLike

from rec_jax.bandits.base import Belief
from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.bandits.beliefs.bootstrapped import bootstrapped, draw_arm_weights
from rec_jax.bandits.beliefs.gaussian import gaussian
from rec_jax.bandits.beliefs.linear import linear
from rec_jax.bandits.beliefs.logistic import logistic
from rec_jax.bandits.beliefs.matrix_factorisation import matrix_factorisation
from rec_jax.bandits.beliefs.per_arm import per_arm
from rec_jax.bandits.beliefs.per_epoch import per_epoch
from rec_jax.bandits.beliefs.per_user import per_user
from rec_jax.bandits.beliefs.perturbed_history import (
  perturb_counts,
  perturb_weights,
  perturbed_history,
)
from rec_jax.bandits.beliefs.residual import residual
from rec_jax.bandits.hyperparameters import check_range

_TINY = 1e-12


def popularity(a0: ArrayLike = 1.0, b0: ArrayLike = 9.0, gamma: ArrayLike = 1.0) -> Belief:
  """Beta-Bernoulli whose prior mean is one success in ten; a0 and b0 may be counts [N]."""
  return beta_bernoulli(a0, b0, gamma)


def popularity_linear(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  a0: ArrayLike = 1.0,
  b0: ArrayLike = 9.0,
  gamma: ArrayLike = 1.0,
  item_variance: ArrayLike = 0.0,
  item_noise: ArrayLike = 0.0,
) -> Belief:
  """Linear deviations, shared by all users, from the popularity of each arm.

  Args:
    lambda_: prior precision of the weights.
    noise_variance: of one reward around its expectation.
    a0: prior successes, a number or [N].
    b0: prior failures, a number or [N].
    gamma: forgetting.
    item_variance: prior variance of what neither popularity nor features tell of an arm, a number
      or [N]. Where features are short for arms that are little known, as shrunk ones are, a width
      that grows with features alone would doubt those least.
    item_noise: what is added to `noise_variance` where a reward tells of that: the variance of
      tastes among users, of whom each has a say.
  """
  deviation = linear(lambda_, noise_variance, gamma=gamma)
  item = _item(noise_variance, gamma, item_variance, item_noise)
  return _around(popularity(a0, b0, gamma), item, deviation)


def popularity_per_user_linear(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  a0: ArrayLike = 1.0,
  b0: ArrayLike = 9.0,
  gamma: ArrayLike = 1.0,
  item_variance: ArrayLike = 0.0,
  item_noise: ArrayLike = 0.0,
) -> Belief:
  """Linear deviations of each user from the popularity of each arm, see `popularity_linear`."""
  # A user has too few rows for rounding to add up.
  deviation = per_user(linear(lambda_, noise_variance, gamma=gamma, compensated=False))
  item = _item(noise_variance, gamma, item_variance, item_noise)
  return _around(popularity(a0, b0, gamma), item, deviation)


def _item(
  noise_variance: ArrayLike, gamma: ArrayLike, item_variance: ArrayLike, item_noise: ArrayLike
) -> Belief | None:
  """What neither popularity nor features tell of each arm; None where that is nothing."""
  check_range('item_variance', item_variance, 0)
  check_range('item_noise', item_noise, 0)
  if isinstance(item_variance, int | float) and item_variance == 0:
    return None
  precision = 1 / jnp.maximum(item_variance, _TINY)
  return gaussian(0.0, precision, noise_variance + item_noise, gamma)


def _around(base: Belief, item: Belief | None, deviation: Belief) -> Belief:
  """`deviation` from the base, and from what all users' rewards tell of the arm besides."""
  if item is None:
    return residual(base, deviation)
  return residual(residual(base, item), deviation, doubts_base=True)


def popularity_matrix_factorisation(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  a0: ArrayLike = 1.0,
  b0: ArrayLike = 9.0,
  gamma: ArrayLike = 1.0,
  rank: int = 8,
) -> Belief:
  """Low-rank deviations of each user and arm from the popularity of each arm."""
  return residual(
    popularity(a0, b0, gamma), matrix_factorisation(lambda_, noise_variance, gamma, rank)
  )


def epoch_linear(
  lambda_: ArrayLike = 1.0, noise_variance: ArrayLike = 1.0, gamma: ArrayLike = 1.0
) -> Belief:
  """A linear regression as it was when the epoch began."""
  return per_epoch(linear(lambda_, noise_variance, gamma=gamma))


def perturbed_popularity(
  a0: ArrayLike = 1.0,
  b0: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  num_copies: int = 16,
  num_pseudo_rewards: int = 1,
) -> Belief:
  """Copies of counts whose rewards have coin flips added; the prior counts no arm out."""
  belief = beta_bernoulli(a0, b0, gamma)
  return perturbed_history(belief, perturb_counts(a0, b0), num_copies, num_pseudo_rewards)


def perturbed_linear(
  lambda_: ArrayLike = 1.0,
  noise_variance: ArrayLike = 1.0,
  gamma: ArrayLike = 1.0,
  num_copies: int = 16,
  num_pseudo_rewards: int = 1,
) -> Belief:
  """Copies of a linear regression whose rewards have coin flips added."""
  belief = linear(lambda_, noise_variance, gamma=gamma)
  prior = perturb_weights(noise_variance)
  return perturbed_history(belief, prior, num_copies, num_pseudo_rewards)


def bootstrapped_logistic(lambda_: ArrayLike = 1.0, num_copies: int = 10) -> Belief:
  """Copies of a logistic regression an arm whose rows have random weights."""
  return bootstrapped(per_arm(logistic(lambda_)), draw_arm_weights, num_copies)
