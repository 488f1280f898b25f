"""Arms whose rewards an adversary fixed beforehand, and three tables of what it would fix.

Auer, Cesa-Bianchi, Freund & Schapire (2002), The Nonstochastic Multiarmed Bandit Problem.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rec_jax.environments.base import Environment, Metrics, one_user, outcome_rows
from rec_jax.types import Context, Decision, Feedback


@struct.dataclass
class AdversarialData:
  """The table, which knows nothing of what is chosen.

  Attributes:
    table: [T, K] float32 in [0, 1], of the arms before a seed puts them in an order of its own;
      rounds after the last are like it.
  """

  table: jax.Array


@struct.dataclass
class AdversarialState:
  """Of one seed.

  Attributes:
    order: [K] int32, the column of each arm.
    totals: [K] float32, what each arm would have earned had it been chosen in every round so far.
  """

  order: jax.Array
  totals: jax.Array


def adversarial_environment(num_arms: int, is_drawn: bool) -> Environment:
  """K arms without features, as in `arms_environment`, whose rewards follow a table.

  Rewards depend on the seed and the round alone, so they are fixed before the first choice. The
  expected reward is the reward itself, and `best_expected_reward` is by how much a round raises
  the total of the L best fixed arms in hindsight: it sums to max_i sum_t x_i(t) after every round
  (the weak regret of section 2 is that minus what was earned), but in a single round it may be
  less than the reward of the choice.

  Args:
    num_arms: K.
    is_drawn: whether rewards are 1 with the chances of the table, else 0, drawn anew for each seed;
      False takes them as they stand.

  Returns:
    An environment over `AdversarialData`.
  """

  def init(key: jax.Array, data: AdversarialData) -> AdversarialState:
    del data
    order = jax.random.permutation(key, num_arms).astype(jnp.int32)
    return AdversarialState(order, jnp.zeros(num_arms))

  def observe(
    key: jax.Array, data: AdversarialData, state: AdversarialState, t: jax.Array
  ) -> Context:
    del key, data, state, t
    return one_user(jnp.ones(1), jnp.eye(num_arms))

  def step(
    key: jax.Array,
    data: AdversarialData,
    state: AdversarialState,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[AdversarialState, Feedback, Metrics]:
    row = data.table[t]
    row = jax.random.bernoulli(key, row).astype(jnp.float32) if is_drawn else row
    row = row[state.order]
    reward = jnp.where(decision.index < 0, 0.0, row[decision.index])
    size = min(decision.index.shape[1], num_arms)
    totals = state.totals + row
    raised = jax.lax.top_k(totals, size)[0] - jax.lax.top_k(state.totals, size)[0]
    best = jnp.zeros(decision.index.shape[1]).at[:size].set(raised)
    metrics = Metrics(
      reward=reward,
      expected_reward=reward,
      best_expected_reward=best[None],
      arm_id=decision.arm_id,
      user_id=context.user_id,
    )
    state = dataclasses.replace(state, totals=totals)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)


def lower_bound_chances(num_rounds: int, num_arms: int) -> np.ndarray:
  """[T, K] chances on which every policy has regret sqrt(K T) / 20 or more (theorem 5.1).

  One arm pays with probability 1/2 + epsilon and the others with 1/2, epsilon as in its proof:
  min(sqrt(K / T), 1) / 4.
  """
  chances = np.full((num_rounds, num_arms), 0.5, np.float32)
  chances[:, 0] += min(np.sqrt(num_arms / num_rounds), 1) / 4
  return chances


def switching_rewards(num_rounds: int, num_arms: int) -> np.ndarray:
  """[T, K]: one arm pays 1 in the first quarter, another one in the rest, the others nothing.

  Who stops exploring stays with the first: its mean is still 1/4 at the end.
  """
  rewards = np.zeros((num_rounds, num_arms), np.float32)
  rewards[: num_rounds // 4, 0] = 1
  rewards[num_rounds // 4 :, 1] = 1
  return rewards


def rewards_against_ucb1(num_rounds: int, num_arms: int) -> np.ndarray:
  """[T, K]: whatever UCB1 is about to choose pays 0 and all else 1, as UCB1 is deterministic.

  It earns next to nothing of the (K - 1) / K a round that every fixed arm earns. In its first K
  rounds, in which it tries the arms in an order that is not known, arm i pays (i + 1) / (K + 1),
  so that no two arms are alike afterwards and no tie is left to chance.
  """
  first = jnp.arange(1.0, num_arms + 1) / (num_arms + 1)

  def step(number: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    chosen = jnp.argmax(first / number + jnp.sqrt(2 * jnp.log(t) / number))
    return number.at[chosen].add(1), jnp.ones(num_arms).at[chosen].set(0)

  rounds = jnp.arange(num_arms, num_rounds, dtype=jnp.float32)
  later = jax.lax.scan(step, jnp.ones(num_arms), rounds)[1]
  return np.concatenate([np.tile(first, (num_arms, 1)), later])[:num_rounds].astype(np.float32)
