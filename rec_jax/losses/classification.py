"""Losses between a label, 0 or 1, and the probability σ(logit) that is predicted for it.

Both are proper: on average each is least where the probability is the true one. Of exclusive
classes the loss is `language_modelling.token_cross_entropy`, for a sequence as for a token.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def binary_cross_entropy(
  logits: ArrayLike, labels: ArrayLike, positive_weight: ArrayLike = 1.0
) -> jax.Array:
  """-(w y log p + (1 - y) log(1 - p)) with p = σ(logit): minus the log-likelihood of Bernoulli.

  Computed from the logit, so that neither logarithm is of 0.

  Args:
    logits: [...].
    labels: [...], y in [0, 1].
    positive_weight: [...], w, how much a label of 1 counts.

  Returns:
    [...] nats.
  """
  logits, labels = jnp.asarray(logits), jnp.asarray(labels)
  holds = jnp.asarray(positive_weight) * labels * jax.nn.softplus(-logits)
  return holds + (1 - labels) * jax.nn.softplus(logits)


def calibration_weight(rate: ArrayLike, calibration: ArrayLike) -> jax.Array:
  """β, how much a label of 1 counts in gBCE (Petrov & Macdonald 2023, eq. 9 and 12).

  Of the pairs with label 0 a share α is drawn. log σ(logit)^β of a label of 1 is β log σ(logit);
  with β = α the optimum is σ(logit) = P whatever α, with β = 1 it is P / (P + α (1 - P)), too high.

  Args:
    rate: [...], α: how often the negatives of a pair bring an item on average.
    calibration: t in [0, 1], which goes from β = 1 to β = α on a straight line.

  Returns:
    [...], t (α - 1) + 1.
  """
  return jnp.asarray(calibration) * (jnp.asarray(rate) - 1) + 1


def squared_error(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
  """(y - σ(logit))², the score of Brier (1950) of one outcome; no likelihood, so no minus sign.

  Args:
    logits: [...].
    labels: [...], y in [0, 1].

  Returns:
    [...] in [0, 1].
  """
  return (jnp.asarray(labels) - jax.nn.sigmoid(jnp.asarray(logits))) ** 2
