"""What a policy learnt from a log may descend, and how its steps are made.

Shape letters: n rounds, K actions, C candidates of a round at most, D context features, F action
features.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from rec_jax.bandits.hyperparameters import check_range
from rec_jax.losses import off_policy
from rec_jax.studies.logged.policy_checkpoint import Affine
from rec_jax.training import optimizers
from rec_jax.types import InputError

LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.01
# Kullback-Leibler divergence of a natural step, and what is added to the Fisher information.
STEP_DIVERGENCE = 0.01
DAMPING = 1e-3


@dataclasses.dataclass(frozen=True)
class LearningConfig:
  """How to learn.

  Attributes:
    objective: one of `OBJECTIVES`.
    max_weight: at which importance weights are clipped; unused by 'pessimistic'.
    penalty: standard errors of the value that 'poem' takes off, and standard deviations of each
      expected reward that 'pessimistic' takes off.
    slate_size: of 'top_k', items drawn for a slate.
    num_steps: of descent.
  """

  objective: str
  max_weight: float = 100.0
  penalty: float = 1.0
  slate_size: int = 3
  num_steps: int = 300


@struct.dataclass
class Rows:
  """What an objective reads.

  Attributes:
    query: [n, D] float32, scaled context.
    candidates: [n, C] int32 in [0, K), -1 where there are fewer; None where all K are.
    index: [n] int32, which candidate was logged.
    propensity: [n] float32.
    reward: [n] float32, minus the mean over the log, so that its origin does not matter: a baseline
      for weights that do not average 1 (Joachims, Swaminathan & de Rijke 2018, equation 10). For
      'top_k' as it was logged: there 0 is what showing nothing earns.
    model: [n, C] float32, expected rewards or their lower bounds; None where none are needed.
  """

  query: jax.Array
  candidates: jax.Array | None
  index: jax.Array
  propensity: jax.Array
  reward: jax.Array
  model: Any


def check(settings: LearningConfig) -> None:
  """Raises InputError where a setting is out of its range."""
  if settings.objective not in OBJECTIVES:
    raise InputError(f'--objective: {settings.objective} is not one of {", ".join(OBJECTIVES)}')
  check_range('max_weight', settings.max_weight, 0, open_low=True)
  check_range('penalty', settings.penalty, 0)
  check_range('slate_size', settings.slate_size, 1)
  check_range('num_steps', settings.num_steps, 1)


def logits(items: jax.Array | None, params: Affine, rows: Rows) -> jax.Array:
  """[n, C], -inf where there is no candidate, from items [K, F]; None: a column an item."""
  scores = rows.query @ params.matrix + params.offset
  if items is not None:
    scores = scores @ items.T
  if rows.candidates is None:
    return scores
  offered = jnp.take_along_axis(scores, jnp.maximum(rows.candidates, 0), axis=1)
  return jnp.where(rows.candidates >= 0, offered, -jnp.inf)


def optimizer(settings: LearningConfig) -> optax.GradientTransformation:
  """AdamW, or for natural gradients plain steps whose length decays."""
  if settings.objective == 'natural':
    return optax.sgd(optimizers.warmup_cosine(1.0, 0, settings.num_steps))
  return optimizers.adamw(LEARNING_RATE, settings.num_steps, weight_decay=WEIGHT_DECAY)


def natural(
  logits: Callable[[Affine, Rows], jax.Array],
) -> Callable[[Affine, Rows, Affine], Affine]:
  """Natural gradients that move the policy by STEP_DIVERGENCE (Schulman et al. 2015)."""

  def precondition(params: Affine, rows: Rows, gradient: Affine) -> Affine:
    direction = off_policy.natural_gradient(
      lambda params: logits(params, rows), params, gradient, damping=DAMPING
    )
    # g . F^-1 g is the squared length in the policy's own metric; 0 where there is nothing to gain.
    squared = optax.tree.vdot(gradient, direction)
    length = jnp.sqrt(2 * STEP_DIVERGENCE / jnp.maximum(squared, jnp.finfo(jnp.float32).tiny))
    return optax.tree.scale(length, direction)

  return precondition


def _ipw(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.ipw(
    logits, rows.index, rows.propensity, rows.reward, max_weight=settings.max_weight
  ).mean()


def _dr(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.dr(
    logits, rows.index, rows.propensity, rows.reward, rows.model, max_weight=settings.max_weight
  ).mean()


def _poem(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  losses = off_policy.ipw(
    logits, rows.index, rows.propensity, rows.reward, max_weight=settings.max_weight
  )
  return off_policy.counterfactual_risk(losses, penalty=settings.penalty, num_rounds=num_train)


def _top_k(logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.top_k(
    logits,
    rows.index,
    rows.propensity,
    rows.reward,
    slate_size=settings.slate_size,
    max_weight=settings.max_weight,
  ).mean()


def _pessimistic(
  logits: jax.Array, rows: Rows, settings: LearningConfig, num_train: int
) -> jax.Array:
  del settings, num_train
  return off_policy.expected(logits, rows.model).mean()


Objective = Callable[[jax.Array, Rows, LearningConfig, int], jax.Array]
# The natural gradient climbs the same value as ipw, by other steps.
OBJECTIVES: dict[str, Objective] = {
  'ipw': _ipw,
  'dr': _dr,
  'natural': _ipw,
  'poem': _poem,
  'top_k': _top_k,
  'pessimistic': _pessimistic,
}
