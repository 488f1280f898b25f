"""EXP3, for rewards that an adversary may choose."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import UNIT_REWARD, Belief, Explorer, Outlook, Policy
from rec_jax.bandits.choice import uniform_probabilities
from rec_jax.bandits.explorers.by_chance import in_proportion
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.bandits.policy import PolicyState, combine
from rec_jax.types import ArmSpec, Context, Decision, Feedback


@struct.dataclass
class Exp3Info:
  """What comes back with the outcome.

  Attributes:
    propensity: [L] of the choice when it was made.
  """

  propensity: jax.Array


@struct.dataclass
class Exp3State:
  """The weights.

  Attributes:
    log_weight: [N] logarithm of each arm's weight.
    is_known: [N] bool, whether an outcome has come since the arm was new.
  """

  log_weight: jax.Array
  is_known: jax.Array


def exp3(learning_rate: ArrayLike = 0.01, mixing: ArrayLike = 0.05) -> Policy:
  """EXP3 (Auer et al. 2002, section 3): weights exp(learning rate * importance-weighted reward).

  Auer's gamma is `mixing`, and his learning rate is gamma / K.

  Args:
    learning_rate: of the exponential weights, > 0.
    mixing: share of uniform exploration, in (0, 1].

  Returns:
    A policy over arms that reads no features. For rewards in [0, 1].

  Raises:
    InputError: a value is out of range.
  """
  check_range('learning_rate', learning_rate, 0, open_low=True)
  check_range('mixing', mixing, 0, 1, open_low=True)
  policy = combine(_log_weights(learning_rate), _exponential(mixing))

  def select(key: jax.Array, state: PolicyState, context: Context) -> Decision:
    select_key, log_key = jax.random.split(key)
    decision = policy.select(select_key, state, context)
    propensity = policy.propensity(log_key, state, context, decision)
    return dataclasses.replace(decision, info=Exp3Info(propensity))

  # What comes back holds the chance that EXP3 itself gave the choice.
  return policy._replace(select=select, info=None)


def _log_weights(learning_rate: ArrayLike) -> Belief:
  """The mean is the logarithm of an arm's weight."""

  def init(key: jax.Array, spec: ArmSpec) -> Exp3State:
    del key
    return Exp3State(jnp.zeros(spec.num_arms, jnp.float32), jnp.zeros(spec.num_arms, bool))

  def predict(state: Exp3State, context: Context) -> tuple[jax.Array, jax.Array]:
    mean = state.log_weight[context.arm_ids]
    return mean, jnp.zeros_like(mean)

  def sample(key: jax.Array, state: Exp3State, context: Context, num_samples: int) -> jax.Array:
    del key
    mean, _ = predict(state, context)
    return jnp.broadcast_to(mean, (num_samples, len(mean)))

  def update(key: jax.Array, state: Exp3State, feedback: Feedback) -> Exp3State:
    del key
    counted = feedback.weight != 0
    propensity = jnp.where(counted, feedback.info.propensity, 1)
    gain = learning_rate * feedback.weight * feedback.reward / propensity
    arm = jnp.where(counted, feedback.arm_id, len(state.log_weight))
    return Exp3State(
      log_weight=state.log_weight.at[arm].add(gain, mode='drop'),
      is_known=state.is_known.at[arm].set(True, mode='drop'),
    )

  def reset_arms(state: Exp3State, ids: jax.Array, features: jax.Array) -> Exp3State:
    del features
    is_known = state.is_known.at[ids].set(False)
    # A new arm starts with the average weight of the others, neither hopeless nor leading; rows
    # that no outcome was ever of may be empty.
    total = jax.nn.logsumexp(state.log_weight, where=is_known)
    start = jnp.where(jnp.any(is_known), total - jnp.log(jnp.sum(is_known)), 0)
    return Exp3State(state.log_weight.at[ids].set(start), is_known)

  return Belief(init, predict, sample, update, reset_arms=reset_arms, reward_range=UNIT_REWARD)


def _exponential(mixing: ArrayLike) -> Explorer:
  def weights(state: jax.Array, outlook: Outlook, mask: jax.Array) -> jax.Array:
    del state
    exponential = jax.nn.softmax(outlook.mean, where=mask)
    return jnp.asarray(1 - mixing) * exponential + jnp.asarray(mixing) * uniform_probabilities(mask)

  return in_proportion(weights)
