"""Thompson sampling that learns every so many rounds, while items come and go."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from experiments.reproductions import Repeat, reproduction
from rec_jax import bandits
from rec_jax.environments.base import Environment, Metrics, known_metrics, outcome_rows
from rec_jax.environments.rollout import rollout
from rec_jax.evaluation.regret import cumulative_regret
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected
from rec_jax.types import ArmSpec, Context, Decision, Feedback

NUM_ROUNDS, NUM_ITEMS, RETIRE_CHANCE = 1_000_000, 10, 1e-3
# 1,000 items are expected to come, 1,200 are more than six standard deviations above.
NUM_ARMS = NUM_ITEMS + 1_200
# Of items that change at their own time instead, in the midst of 1,000 rounds, half as many rounds
# would be played unseen and little more than half of that regret would remain.
# Rounds between two lessons -> mean regret of Thompson sampling over PUBLISHED_RUNS.
REGRETS = {10: 9_049.0, 100: 11_550.0, 1000: 59_256.0}
PUBLISHED_RUNS, NUM_RUNS = 100, 8
# Standard deviations over our runs, of which none is published.
SPREADS = {10: 340.0, 100: 290.0, 1000: 1300.0}
_TITLE = 'Thompson sampling that learns late, beside the numbers of Chapelle & Li'
_SETUP = (
  f'{NUM_ITEMS} items, of which one is replaced in a round with probability {RETIRE_CHANCE:g}; '
  'chances of a reward from Beta(4, 4), prior Beta(1, 1); outcomes of 10, 100 and 1,000 rounds '
  f'are learnt at once; regret after {NUM_ROUNDS:,} rounds, {NUM_RUNS} runs; Chapelle & Li (2011), '
  f'An Empirical Evaluation of Thompson Sampling, table 1, {PUBLISHED_RUNS} runs; tolerance: two '
  'standard errors of the difference, by the spread of our runs. Assumed, as it is not said: items '
  'retire whatever they pay, are replaced when outcomes are learnt, and are then known to be new'
)


@struct.dataclass
class Shop:
  """Items of one seed.

  Attributes:
    means: [N] of all that ever come.
    on_sale: [K].
    num_came: [] int32.
  """

  means: jax.Array
  on_sale: jax.Array
  num_came: jax.Array


def get_study() -> Study:
  """Mean regrets for several delays."""
  error = (1 / PUBLISHED_RUNS + 1 / NUM_RUNS) ** 0.5
  published = {
    _metric(wait): Expected.near(regret, 2 * SPREADS[wait] * error)
    for wait, regret in REGRETS.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The regret of each run."""
  del workdir
  return {_metric(wait): regrets(config.seed, wait, NUM_ROUNDS, NUM_RUNS) for wait in REGRETS}


def regrets(seed: int, wait: int, num_rounds: int, num_runs: int) -> Values:
  """Cumulative expected regret after the last round; the run is the unit.

  Args:
    seed: of the runs.
    wait: B, rounds between two lessons.
    num_rounds: T, a multiple of B.
    num_runs: S.
  """
  keys = jax.random.split(jax.random.key(seed), num_runs)
  spec = ArmSpec(NUM_ARMS, NUM_ITEMS, 1, 1)
  policy, world = bandits.make('bernoulli_ts'), shop_environment(wait)
  metrics = rollout(keys, policy, world, (), spec, num_rounds // wait).metrics
  chosen, best = (
    x.reshape(num_runs, -1) for x in (metrics.expected_reward, metrics.best_expected_reward)
  )
  return Values(cumulative_regret(chosen, best)[:, -1], np.arange(num_runs))


def shop_environment(wait: int) -> Environment:
  """B decisions a round, which are learnt at once; items change from round to round.

  Args:
    wait: B.
  """

  def change(
    key: jax.Array, on_sale: jax.Array, num_came: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """The items [K] after those that retire in B rounds were replaced."""
    chance_key, place_key = jax.random.split(key)
    retires = jax.random.bernoulli(chance_key, RETIRE_CHANCE, (wait,))
    places = jax.random.randint(place_key, (wait,), 0, NUM_ITEMS)

    def one(
      carry: tuple[jax.Array, jax.Array], drawn: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
      (items, came), (retire, place) = carry, drawn
      leaves = retire & (jnp.arange(NUM_ITEMS) == place)
      items = jnp.where(leaves, jnp.minimum(came, NUM_ARMS - 1), items)
      return (items, came + retire), None

    return jax.lax.scan(one, (on_sale, num_came), (retires, places))[0]

  def init(key: jax.Array, data: tuple[()]) -> Shop:
    del data
    means = jax.random.beta(key, 4.0, 4.0, (NUM_ARMS,))
    return Shop(means, jnp.arange(NUM_ITEMS, dtype=jnp.int32), jnp.int32(NUM_ITEMS))

  def observe(key: jax.Array, data: tuple[()], state: Shop, t: jax.Array) -> Context:
    del key, data, t
    return Context(
      user_id=jnp.zeros(wait, jnp.int32),
      query=jnp.ones((wait, 1)),
      features=jnp.ones((wait, NUM_ITEMS, 1)),
      arm_ids=jnp.broadcast_to(state.on_sale, (wait, NUM_ITEMS)),
      mask=jnp.ones((wait, NUM_ITEMS), bool),
    )

  def step(
    key: jax.Array,
    data: tuple[()],
    state: Shop,
    t: jax.Array,
    context: Context,
    decision: Decision,
  ) -> tuple[Shop, Feedback, Metrics]:
    del data, t
    reward_key, change_key = jax.random.split(key)
    expected = state.means[context.arm_ids]
    mean = jnp.take_along_axis(expected, decision.index, axis=1)
    reward = jax.random.bernoulli(reward_key, mean).astype(jnp.float32)
    metrics = known_metrics(context, decision, expected, reward)
    after = Shop(state.means, *change(change_key, state.on_sale, state.num_came))
    return after, outcome_rows(context, decision, reward), metrics

  return Environment(init, observe, step)


def _metric(wait: int) -> str:
  return f'regret, learning every {wait:,} rounds'
