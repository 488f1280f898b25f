"""How soon a policy knows a new item as well as twenty events of random users would tell it.

A third of the users never visit: they judge. A prediction of a new item for them is as good as the
bar once its squared error is not above the one that the same belief has on average after
`NUM_LOGGED` rewards of random visitors, with nothing else learnt; and an item is known from the
first round on after which this stays so. What is not known at the end is censored there.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits import item_prior
from rec_jax.bandits.base import Belief, Explorer, State
from rec_jax.bandits.combinations import popularity_linear, popularity_per_user_linear
from rec_jax.bandits.explorers.epsilon_greedy import epsilon_greedy
from rec_jax.bandits.explorers.greedy import greedy
from rec_jax.bandits.explorers.information_directed import information_directed
from rec_jax.bandits.explorers.thompson import thompson
from rec_jax.bandits.explorers.ucb import ucb
from rec_jax.bandits.explorers.uniform import uniform
from rec_jax.bandits.policy import PolicyState, combine
from rec_jax.environments.rollout import rollout
from rec_jax.environments.sparse_rows import row_of
from rec_jax.environments.visits import VisitData
from rec_jax.stages.explore.worlds import World
from rec_jax.types import Context, Feedback, Interactions

# Rewards of an item that set the bar, and users who have to be there to judge it.
NUM_LOGGED, FEWEST_JUDGES = 20, 10
# Nothing is tuned: widths and draws are those of the posterior.
EXPLORERS: Mapping[str, Callable[[], Explorer]] = {
  'uniform': uniform,
  'greedy': greedy,
  'epsilon-greedy': functools.partial(epsilon_greedy, 0.1),
  'UCB': functools.partial(ucb, 1.0),
  'Thompson': functools.partial(thompson, 1.0),
  'information-directed': functools.partial(information_directed, 32),
}
BELIEFS: Mapping[str, Callable[..., Belief]] = {
  'per user': popularity_per_user_linear,
  'shared': popularity_linear,
}
_PRECISION = 20.0
_NUM_DRAWS = 64
_NUM_PROBES = 100


@dataclasses.dataclass(frozen=True)
class NewItems:
  """Items of which a world knows nothing but features, and who judges what is learnt of them.

  Attributes:
    world: in which the judges do not visit.
    items: [M] int, ascending; none where nothing can be judged.
    rewards: [U, M] float32 of each user.
    known: [U, M] bool, whether there is such a reward.
    judges: [U] bool.
  """

  world: World
  items: np.ndarray
  rewards: np.ndarray
  known: np.ndarray
  judges: np.ndarray

  def described(self) -> str:
    """One line for the terminal."""
    return (
      f'{len(self.items)} new items that {NUM_LOGGED} visitors and {FEWEST_JUDGES} judges can tell '
      f'of, of {int(self.world.is_cold.sum())}; {int((~self.judges).sum())} visitors in '
      f'{self.world.num_rounds:,} rounds, {int(self.judges.sum())} judges'
    )


@dataclasses.dataclass(frozen=True)
class Learning:
  """What became of M new items in S runs of one policy.

  Attributes:
    is_known: [S, M] bool, at the end.
    rounds: [S, M] int, until it is known, or all where it is not.
    impressions: [S, M] int, of the item by then.
    num_rounds: T.
  """

  is_known: np.ndarray
  rounds: np.ndarray
  impressions: np.ndarray
  num_rounds: int

  def is_known_after(self, share: float) -> np.ndarray:
    """[S, M] bool, after a share of the rounds."""
    return self.is_known & (self.rounds <= share * self.num_rounds)


def as_if_new(
  interactions: Interactions, num_before: int, is_new: np.ndarray
) -> tuple[Interactions, int]:
  """The events without those before the cut of items that `is_new` [N] marks, and how many are."""
  kept = ~is_new[interactions.item] | (np.arange(interactions.num_events) >= num_before)
  rating = interactions.rating
  known = dataclasses.replace(
    interactions,
    user=interactions.user[kept],
    item=interactions.item[kept],
    timestamp=interactions.timestamp[kept],
    rating=None if rating is None else rating[kept],
  )
  return known, int(kept[:num_before].sum())


def select(world: World, seed: int) -> NewItems:
  """The cold items of a world that `NUM_LOGGED` visitors and `FEWEST_JUDGES` judges can tell of.

  Args:
    world: whose cold items are those that may be new.
    seed: of who judges.
  """
  num_users = len(world.is_new)
  judges = np.random.default_rng((seed, 5)).permutation(num_users) < num_users // 3
  cold = np.flatnonzero(world.is_cold)
  rewards, known = _outcomes(world.data, cold) if len(cold) else (np.zeros((num_users, 0)),) * 2
  known = known.astype(bool)
  enough = (known[~judges].sum(0) >= NUM_LOGGED) & (known[judges].sum(0) >= FEWEST_JUDGES)
  visits = np.asarray(world.data.visits)
  data = dataclasses.replace(world.data, visits=jnp.asarray(visits[~judges[visits]]))
  world = dataclasses.replace(world, data=data)
  return NewItems(world, cold[enough], rewards[:, enough], known[:, enough], judges)


def belief_of(name: str, world: World) -> Belief:
  """One of `BELIEFS` with the prior of a world, as the policies of the stage have it."""
  doubt = item_prior.doubt(world.data.features, world.num_events, _PRECISION)
  return BELIEFS[name](_PRECISION, item_prior.NOISE_VARIANCE, a0=world.a0, b0=world.b0, **doubt)


def learn(
  new: NewItems,
  belief: Belief,
  explorer: Explorer,
  num_runs: int,
  seed: int,
  memory_bound: float,
) -> Learning:
  """Rolls a policy out and says from when on each new item is known.

  Args:
    new: one item or more.
    belief: what is learnt.
    explorer: how to choose by it.
    num_runs: S, side by side.
    seed: of the runs and of what is logged for the bar.
    memory_bound: see `rollout`.
  """
  world = new.world
  every = max(1, world.num_rounds // _NUM_PROBES)
  num_rounds = world.num_rounds // every * every
  key = jax.random.key(seed)
  bar_key, run_key = jax.random.split(key)
  worth = new.known & new.judges[:, None]
  mean = np.sum(worth * new.rewards, axis=0) / worth.sum(0)

  def error(prediction: np.ndarray) -> np.ndarray:
    """[..., M], the mean squared error over the judges, less what no prediction can help."""
    return (prediction - mean) ** 2

  logged = predictions_after_log(bar_key, new, belief)
  bar = error(logged).mean(0)
  look, policy = _look(new, belief), combine(belief, explorer)
  trajectory = rollout(
    jax.random.split(run_key, num_runs),
    policy,
    world.environment,
    world.data,
    world.spec,
    num_rounds,
    probe=look,
    probe_every=every,
    memory_bound=memory_bound,
  )
  prior = np.asarray(look(world.data, policy.init(key, world.spec)))
  before = np.broadcast_to(prior, (num_runs, 1, len(new.items)))
  is_good = error(np.concatenate([before, trajectory.probed], axis=1)) <= bar
  # From each probe on until the end.
  lasts = np.logical_and.accumulate(is_good[:, ::-1], axis=1)[:, ::-1]
  is_known = lasts[:, -1]
  probe = np.where(is_known, lasts.argmax(axis=1), num_rounds // every)
  shown = _impressions(np.asarray(trajectory.metrics.arm_id)[:, :, 0, 0], new.items, every)
  impressions = np.take_along_axis(shown, probe[:, None], axis=1)[:, 0]
  return Learning(is_known, probe * every, impressions, num_rounds)


def predictions_after_log(key: jax.Array, new: NewItems, belief: Belief) -> np.ndarray:
  """[draws, M], what is expected of each item after `NUM_LOGGED` rewards and nothing else.

  Each draw is of other visitors, without replacement.
  """
  spec = new.world.spec._replace(num_users=NUM_LOGGED + 1)
  features = jnp.asarray(new.world.data.features)[new.items]
  telling = new.known & ~new.judges[:, None]

  def context(user: jax.Array | int, arm: jax.Array, row: jax.Array) -> Context:
    query, one = jnp.zeros(spec.query_dim), jnp.ones(1, bool)
    return Context(jnp.int32(user), query, row[None], arm[None], one)

  def one(
    key: jax.Array, arm: jax.Array, row: jax.Array, rewards: jax.Array, telling: jax.Array
  ) -> jax.Array:
    draw_key, init_key, update_key = jax.random.split(key, 3)
    order = jnp.where(telling, jax.random.uniform(draw_key, telling.shape), -1.0)
    drawn = rewards[jax.lax.top_k(order, NUM_LOGGED)[1]]

    def step(state: State, each: tuple[jax.Array, ...]) -> tuple[State, None]:
      user, reward, key = each
      asked = context(user, arm, row)
      feedback = Feedback(
        user_id=asked.user_id,
        query=asked.query,
        features=row,
        arm_id=arm,
        propensity=jnp.ones(()),
        reward=reward,
        weight=jnp.ones(()),
        info=belief.info(state, asked, jnp.int32(0)),
      )
      return belief.update(key, state, jax.tree.map(lambda x: x[None], feedback)), None

    keys = jax.random.split(update_key, NUM_LOGGED)
    rows = (jnp.arange(NUM_LOGGED), drawn, keys)
    state = jax.lax.scan(step, belief.init(init_key, spec), rows)[0]
    return belief.predict(state, context(NUM_LOGGED, arm, row))[0][0]

  @jax.jit
  def all_items(keys: jax.Array) -> jax.Array:
    rows = (jnp.asarray(new.items), features, jnp.asarray(new.rewards.T), jnp.asarray(telling.T))
    draws = jax.vmap(one, in_axes=(0, None, None, None, None))
    return jax.lax.map(lambda item: draws(item[0], *item[1:]), (keys, *rows))

  keys = jax.random.split(key, (len(new.items), _NUM_DRAWS))
  return np.asarray(all_items(keys)).T


def _look(new: NewItems, belief: Belief) -> Callable[[VisitData, PolicyState], jax.Array]:
  """The probe that gives the predictions [M] of the new items for who judges."""
  items, query = jnp.asarray(new.items), jnp.zeros(new.world.spec.query_dim)
  # Nothing is learnt of any of those who judge, so one of them stands for all.
  judge, everything = jnp.int32(np.argmax(new.judges)), jnp.ones(len(new.items), bool)

  def look(data: VisitData, state: PolicyState) -> jax.Array:
    context = Context(judge, query, data.features[items], items, everything)
    return belief.predict(state.belief, context)[0]

  return look


def _outcomes(data: VisitData, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """[U, M] rewards of items, and whether there is one."""
  num_arms = len(data.features)

  def of_user(user: jax.Array) -> tuple[jax.Array, jax.Array]:
    rewards, mask = row_of(data.rewards, user).astype(jnp.float32), row_of(data.mask, user)
    if data.items is not None:
      # What is no candidate is sent past the end and dropped.
      place = jnp.where(mask, data.items[user], num_arms)
      rewards = jnp.zeros(num_arms).at[place].set(rewards, mode='drop')
      mask = jnp.zeros(num_arms, bool).at[place].set(True, mode='drop')
    return rewards[items], mask[items]

  rewards, mask = jax.jit(lambda users: jax.lax.map(of_user, users))(jnp.arange(len(data.users)))
  return np.asarray(rewards), np.asarray(mask)


def _impressions(arm: np.ndarray, items: np.ndarray, every: int) -> np.ndarray:
  """[S, probes + 1, M], how often arms [S, T] were each of the items before each probe."""
  num_runs, num_rounds = arm.shape
  place = np.minimum(np.searchsorted(items, arm), len(items) - 1)
  run, time = np.nonzero(items[place] == arm)
  shown = np.zeros((num_runs, num_rounds // every + 1, len(items)), int)
  np.add.at(shown, (run, time // every + 1, place[run, time]), 1)
  return shown.cumsum(axis=1)
