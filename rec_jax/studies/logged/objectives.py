"""What a policy learnt from a log may descend, and how its steps are made.

Shape letters: n rounds, b of them, K actions, C candidates of a round at most, D columns of the
query, F action features.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from rec_jax.bandits.hyperparameters import check_range
from rec_jax.losses import off_policy
from rec_jax.training import optimizers
from rec_jax.types import InputError

LEARNING_RATE = 0.1
WEIGHT_DECAY = 0.01
# Kullback-Leibler divergence of a natural step, and what is added to the Fisher information.
STEP_DIVERGENCE = 0.01
DAMPING = 1e-3
# Part of the largest reward that is the rounding of a mean.
_ROUNDING = 1e-12
# What banditnet tries to take off all rewards beyond their mean, in standard deviations of these.
TRANSLATIONS = (-1.0, -0.5, 0.0, 0.5, 1.0)


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
  """The rounds of a log that teach.

  Attributes:
    query: [n, D] float32, scaled context and a column of ones.
    candidates: [n, C] int32 in [0, K), -1 where there are fewer; None where all K are.
    index: [n] int32, which candidate was logged.
    action: [n] int32, which item that is.
    propensity: [n] float32.
    reward: [n] float32, from a baseline on, so that its origin does not matter: weights do not
      average 1 (Joachims, Swaminathan & de Rijke 2018, equation 10). For 'top_k' as it was logged:
      there 0 is what showing nothing earns.
    group: [n] int32, by which of the reward models a round may be judged.
  """

  query: jax.Array
  candidates: jax.Array | None
  index: jax.Array
  action: jax.Array
  propensity: jax.Array
  reward: jax.Array
  group: jax.Array


@struct.dataclass
class Batch:
  """What an objective reads of some rounds; the candidates are all, or drawn ones.

  Attributes:
    query: [b, D].
    offered: [b or 1, C] int32, items; the same for all rounds where there is one row.
    shift: [b, C], added to scores: -inf where there is no candidate, and for drawn ones minus the
      logarithm of how often they are drawn on average.
    index: [b] int32, which of them was logged.
    propensity: [b].
    reward: [b].
    model: [b, C] expected rewards or their lower bounds; None where none are needed.
    action: [b] the logged item, which stands before `offered` where these are drawn; else None.
  """

  query: jax.Array
  offered: jax.Array
  shift: jax.Array
  index: jax.Array
  propensity: jax.Array
  reward: jax.Array
  model: Any
  action: jax.Array | None


def check(settings: LearningConfig) -> None:
  """Raises InputError where a setting is out of its range."""
  if settings.objective not in OBJECTIVES:
    raise InputError(f'--objective: {settings.objective} is not one of {", ".join(OBJECTIVES)}')
  check_range('max_weight', settings.max_weight, 0, open_low=True)
  check_range('penalty', settings.penalty, 0)
  check_range('slate_size', settings.slate_size, 1)
  check_range('num_steps', settings.num_steps, 1)


def above(reward: np.ndarray, baseline: np.ndarray | float) -> np.ndarray:
  """[n] rewards from a baseline on, 0 where they are it but for rounding.

  Steps of a fixed length would follow what rounding left.
  """
  gain = reward - baseline
  return np.where(np.abs(gain) <= _ROUNDING * np.abs(reward).max(initial=0), 0, gain)


def logits(items: jax.Array | None, params: jax.Array, batch: Batch) -> jax.Array:
  """[b, C] of a linear map [D, F] of the query and items [K, F]; None: of a row [K, D] an item."""
  query, table = (batch.query, params) if items is None else (batch.query @ params, items)

  def score(offered: jax.Array) -> jax.Array:
    # Of -1, no candidate, the last item is asked, which does not count.
    if len(offered) == 1:
      return query @ table[offered[0]].T
    return jnp.einsum('bf,bcf->bc', query, table[offered])

  return across(score, batch) + batch.shift


def across(values: Callable[[jax.Array], jax.Array], batch: Batch) -> jax.Array:
  """[b, C] of a function of items [b or 1, any], the logged one first where others are drawn."""
  found = values(batch.offered)
  if batch.action is None:
    return found
  return jnp.concatenate([values(batch.action[:, None]), found], axis=1)


def optimizer(settings: LearningConfig) -> optax.GradientTransformation:
  """AdamW, or for natural gradients plain steps whose length decays."""
  if settings.objective == 'natural':
    return optax.sgd(optimizers.rate('cosine', 1.0, 0, settings.num_steps))
  return optimizers.make(LEARNING_RATE, settings.num_steps, weight_decay=WEIGHT_DECAY)


def natural(
  logits: Callable[[jax.Array, Batch], jax.Array],
) -> Callable[[jax.Array, Batch, jax.Array], jax.Array]:
  """Natural gradients that move the policy by STEP_DIVERGENCE (Schulman et al. 2015)."""

  def precondition(params: jax.Array, batch: Batch, gradient: jax.Array) -> jax.Array:
    direction = off_policy.natural_gradient(
      lambda params: logits(params, batch), params, gradient, damping=DAMPING
    )
    # g . F^-1 g is the squared length in the policy's own metric; 0 where there is nothing to gain.
    squared = optax.tree.vdot(gradient, direction)
    length = jnp.sqrt(2 * STEP_DIVERGENCE / jnp.maximum(squared, jnp.finfo(jnp.float32).tiny))
    return optax.tree.scale(length, direction)

  return precondition


def _ipw(logits: jax.Array, batch: Batch, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.ipw(
    logits, batch.index, batch.propensity, batch.reward, max_weight=settings.max_weight
  ).mean()


def _dr(logits: jax.Array, batch: Batch, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.dr(
    logits, batch.index, batch.propensity, batch.reward, batch.model, max_weight=settings.max_weight
  ).mean()


def _poem(logits: jax.Array, batch: Batch, settings: LearningConfig, num_train: int) -> jax.Array:
  losses = off_policy.ipw(
    logits, batch.index, batch.propensity, batch.reward, max_weight=settings.max_weight
  )
  return off_policy.counterfactual_risk(losses, penalty=settings.penalty, num_rounds=num_train)


def _top_k(logits: jax.Array, batch: Batch, settings: LearningConfig, num_train: int) -> jax.Array:
  del num_train
  return off_policy.top_k(
    logits,
    batch.index,
    batch.propensity,
    batch.reward,
    slate_size=settings.slate_size,
    max_weight=settings.max_weight,
  ).mean()


def _pessimistic(
  logits: jax.Array, batch: Batch, settings: LearningConfig, num_train: int
) -> jax.Array:
  del settings, num_train
  return off_policy.expected(logits, batch.model).mean()


Objective = Callable[[jax.Array, Batch, LearningConfig, int], jax.Array]
# The natural gradient climbs the same value as ipw, by other steps; baseline, banditnet and mrdr
# differ in the rewards and models that they are given, see `learn`.
OBJECTIVES: dict[str, Objective] = {
  'ipw': _ipw,
  'baseline': _ipw,
  'banditnet': _ipw,
  'dr': _dr,
  'mrdr': _dr,
  'natural': _ipw,
  'poem': _poem,
  'top_k': _top_k,
  'pessimistic': _pessimistic,
}
