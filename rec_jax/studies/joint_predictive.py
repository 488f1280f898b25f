"""What each belief foresees jointly, beside the regret of Thompson sampling with it."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits.base import Belief, State
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.policy import combine
from rec_jax.environments.base import one_user
from rec_jax.environments.fixed_arms import FixedLogisticData, Truth, fixed_logistic_environment
from rec_jax.environments.rollout import rollout
from rec_jax.evaluation.joint_predictive import coin_log_loss
from rec_jax.evaluation.regret import cumulative_regret
from rec_jax.runs.study import Values
from rec_jax.types import ArmSpec

# Outcomes foreseen at once: half of them of each of two arms, picked by chance.
TAU = 10
MARGINAL, JOINT, REGRET = 'KL of one outcome', f'KL of {TAU} outcomes', 'regret'
# A normal belief's draws may be no probabilities.
_LEAST = 0.01


@dataclasses.dataclass
class JointPredictiveConfig:
  """The problem, and how long is learnt.

  Attributes:
    seed: of all.
    belief: name of a belief.
    num_problems: each with a truth of its own.
    num_arms: K.
    dim: F, of the features of the arms.
    num_rounds: of uniform choice, after which outcomes are foreseen.
    num_sets: of outcomes, in each problem.
    num_draws: joint draws behind each probability.
    regret_rounds: of Thompson sampling on the same problems.
    refresh_every: rounds between the refits of beliefs that learn by them.
  """

  seed: int = 0
  belief: str = ''
  num_problems: int = 50
  num_arms: int = 20
  dim: int = 5
  num_rounds: int = 100
  num_sets: int = 50
  num_draws: int = 500
  regret_rounds: int = 500
  refresh_every: int = 50


def measure(make: Callable[[], Belief], config: JointPredictiveConfig) -> dict[str, Values]:
  """Losses less those of the truth, and regret, of each problem."""
  belief = make()
  environment, data = fixed_logistic_environment(config.num_arms, config.dim), FixedLogisticData()
  spec = ArmSpec(config.num_arms, config.num_arms, query_dim=1, arm_dim=config.dim)
  play_key, foresee_key = jax.random.split(jax.random.key(config.seed))
  keys = jax.random.split(play_key, config.num_problems)
  world = environment, data, spec
  learnt = rollout(keys, combine(belief, uniform()), *world, config.num_rounds, return_state=True)

  @jax.jit
  @jax.vmap
  def foresee(key: jax.Array, state: State, truth: Truth) -> tuple[jax.Array, jax.Array]:
    return _divergences(key, belief, state, truth, config)

  foresee_keys = jax.random.split(foresee_key, config.num_problems)
  marginal, joint = foresee(foresee_keys, learnt.policy_state.belief, learnt.env_state)
  played = rollout(
    keys,
    combine(belief, thompson()),
    *world,
    config.regret_rounds,
    refresh_every=config.refresh_every,
  ).metrics
  chosen, best = (x[:, :, 0, 0] for x in (played.expected_reward, played.best_expected_reward))
  found = {MARGINAL: marginal, JOINT: joint, REGRET: cumulative_regret(chosen, best)[:, -1]}
  problems = np.arange(config.num_problems)
  return {name: Values(np.asarray(value), problems) for name, value in found.items()}


def _divergences(
  key: jax.Array, belief: Belief, state: State, truth: Truth, config: JointPredictiveConfig
) -> tuple[jax.Array, jax.Array]:
  """Estimates of KL(truth, predictive) of one and of TAU outcomes, means over the sets."""
  refresh_key, draw_key, arm_key, outcome_key = jax.random.split(key, 4)
  context = jax.tree.map(lambda x: x[0], one_user(jnp.ones(1), truth.features))
  draws = belief.sample(draw_key, belief.refresh(refresh_key, state), context, config.num_draws)
  draws = jnp.clip(draws, _LEAST, 1 - _LEAST)
  pairs = jax.random.randint(arm_key, (config.num_sets, 2), 0, config.num_arms)
  arms = jnp.tile(pairs, (1, TAU // 2))
  means = truth.means[arms]
  outcomes = jax.random.bernoulli(outcome_key, means)

  def divergence(number: int) -> jax.Array:
    def excess(arms: jax.Array, means: jax.Array, outcomes: jax.Array) -> jax.Array:
      known = coin_log_loss(means[None, :number], outcomes[:number])
      return coin_log_loss(draws[:, arms[:number]], outcomes[:number]) - known

    return jnp.mean(jax.vmap(excess)(arms, means, outcomes))

  return divergence(1), divergence(TAU)
