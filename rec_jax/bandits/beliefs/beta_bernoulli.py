"""Independent arms with rewards in [0, 1]: Beta posteriors (Thompson 1933; Chapelle & Li 2011)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jax.typing import ArrayLike

from rec_jax.bandits.base import UNIT_REWARD, Belief, State
from rec_jax.bandits.beliefs.forgetting import decays
from rec_jax.bandits.hyperparameters import check_range
from rec_jax.types import ArmSpec, Context, Feedback

Counts = Callable[[State, Context], tuple[jax.Array, jax.Array]]
Predict = Callable[[State, Context], tuple[jax.Array, jax.Array]]
Sample = Callable[[jax.Array, State, Context, int], jax.Array]
Cdf = Callable[[State, Context, jax.Array], jax.Array]


@struct.dataclass
class BetaBernoulliState:
  """Evidence, apart from the prior so that forgetting returns to it.

  Attributes:
    successes: [N] weighted sum of rewards.
    failures: [N] weighted sum of 1 - reward.
  """

  successes: jax.Array
  failures: jax.Array


def beta_bernoulli(a0: ArrayLike = 1.0, b0: ArrayLike = 1.0, gamma: ArrayLike = 1.0) -> Belief:
  """The expected reward of arm n is Beta(a0 + successes, b0 + failures).

  Args:
    a0: prior successes, a number or [N].
    b0: prior failures, a number or [N].
    gamma: forgetting: each row of non-zero weight multiplies the evidence of every arm by it
      (discounted Thompson sampling, Raj & Kalyani 2017).

  Returns:
    A belief that reads `arm_ids` only, for rewards in [0, 1].

  Raises:
    InputError: a0 or b0 is not positive, or gamma is outside (0, 1].
  """
  check_range('a0', a0, 0, open_low=True)
  check_range('b0', b0, 0, open_low=True)
  check_range('gamma', gamma, 0, 1, open_low=True)

  def init(key: jax.Array, spec: ArmSpec) -> BetaBernoulliState:
    del key
    zeros = jnp.zeros(spec.num_arms, jnp.float32)
    return BetaBernoulliState(successes=zeros, failures=zeros)

  def counts(state: BetaBernoulliState, context: Context) -> tuple[jax.Array, jax.Array]:
    a, b = a0 + state.successes, b0 + state.failures
    return a[context.arm_ids], b[context.arm_ids]

  def update(key: jax.Array, state: BetaBernoulliState, feedback: Feedback) -> BetaBernoulliState:
    del key
    total, rows = decays(gamma, feedback.weight)
    weight = rows * feedback.weight
    # A padded row is sent past the end, where it is dropped.
    arm = jnp.where(feedback.weight == 0, len(state.successes), feedback.arm_id)
    return BetaBernoulliState(
      successes=(state.successes * total).at[arm].add(weight * feedback.reward, mode='drop'),
      failures=(state.failures * total).at[arm].add(weight * (1 - feedback.reward), mode='drop'),
    )

  def reset_arms(
    state: BetaBernoulliState, ids: jax.Array, features: jax.Array
  ) -> BetaBernoulliState:
    del features
    return BetaBernoulliState(
      successes=state.successes.at[ids].set(0), failures=state.failures.at[ids].set(0)
    )

  predict, sample, cdf = by_counts(counts)
  return Belief(
    init=init,
    predict=predict,
    sample=sample,
    update=update,
    reset_arms=reset_arms,
    cdf=cdf,
    reward_range=UNIT_REWARD,
  )


def by_counts(counts: Counts) -> tuple[Predict, Sample, Cdf]:
  """`predict`, `sample` and `cdf` of a belief whose candidates are independent Beta(a, b).

  Args:
    counts: (state, context) -> (a [K], b [K]), positive.
  """

  def predict(state: State, context: Context) -> tuple[jax.Array, jax.Array]:
    a, b = counts(state, context)
    mean = a / (a + b)
    return mean, mean * (1 - mean) / (a + b + 1)

  def sample(key: jax.Array, state: State, context: Context, num_samples: int) -> jax.Array:
    a, b = counts(state, context)
    return jax.random.beta(key, a, b, (num_samples, len(a)))

  def cdf(state: State, context: Context, x: jax.Array) -> jax.Array:
    a, b = counts(state, context)
    return jax.scipy.special.betainc(a, b, jnp.clip(x, 0, 1))

  return predict, sample, cdf
