"""The worlds that exploration is studied on: an environment, its data, and a prior belief."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax.bandits import item_prior
from rec_jax.environments.base import Environment
from rec_jax.environments.catalogue import catalogue_data
from rec_jax.environments.rated import rated_data
from rec_jax.environments.visits import (
  EncodeUser,
  History,
  VisitData,
  visit_environment,
  visit_spec,
)
from rec_jax.runs.config import ExploreConfig
from rec_jax.types import ArmSpec, Interactions

CATALOGUE, RATED, OWN = 'whole catalogue', 'rated candidates', 'own vectors'
# Of a protocol: rankings are means over all training seeds, rollouts are not.
FIRST_SEED = 'models of the first training seed alone'
# The same for all worlds: rollouts are compiled once for an environment and its shapes.
_VISITS = visit_environment()


@dataclasses.dataclass(frozen=True)
class World:
  """One environment over one stream.

  Attributes:
    name: of the environment.
    protocol: who visits, what the candidates are, what the reward is.
    baseline: label of the policy that exploits popularity alone.
    data: of the environment, on the device.
    environment: without an encoder of users.
    a0: [N] and
    b0: [N], prior successes and failures of each item, counted before the cut.
    num_events: [N] of each item before the cut.
    is_new: [U] bool, visitors without an event before the cut.
    is_cold: [N] bool, items without an event before the cut.

  Where nobody is new, or nothing cold, no numbers of theirs are reported.
  """

  name: str
  protocol: str
  baseline: str
  data: VisitData
  environment: Environment
  a0: jax.Array
  b0: jax.Array
  num_events: jax.Array
  is_new: np.ndarray
  is_cold: np.ndarray

  @property
  def spec(self) -> ArmSpec:
    return visit_spec(self.data)

  @property
  def num_rounds(self) -> int:
    return len(self.data.visits)

  def with_features(self, features: np.ndarray) -> 'World':
    """The same world with other candidate features [N, F], which given queries do not fit."""
    data = dataclasses.replace(self.data, features=jnp.asarray(features), queries=None)
    return dataclasses.replace(self, data=data)


def build(
  name: str,
  interactions: Interactions,
  num_before: int,
  num_items: int,
  features: np.ndarray,
  threshold: float,
  max_visitors: int,
  settings: ExploreConfig,
  seed: int,
) -> World:
  """Builds a world on the events from `num_before` on.

  Args:
    name: `CATALOGUE` or `RATED`.
    interactions: E events in time order.
    num_before: events before the cut.
    num_items: N.
    features: [N, F] candidate features.
    threshold: ratings from here on are a reward.
    max_visitors: of more visitors a sample is drawn.
    settings: of the stage.
    seed: of that sample, and of sampled candidates.
  """
  reward = interactions.reward(threshold)
  is_explicit = interactions.rating is not None
  before = slice(num_before)
  seen_users = np.unique(interactions.user[before])
  prior = item_prior.of_events(
    interactions.item[before], reward[before], len(seen_users), num_items
  )
  min_events = settings.min_events_catalogue if name == CATALOGUE else settings.min_events_rated
  kept, sampled = _sample_visitors(interactions.user, num_before, min_events, max_visitors, seed)
  columns = (interactions.user[kept], interactions.item[kept], reward[kept], num_before, features)
  length = settings.history_length
  if name == CATALOGUE:
    data = catalogue_data(
      *columns, min_events=min_events, num_visits=min_events, history_length=length
    )
  else:
    data = rated_data(
      *columns,
      min_events=min_events,
      negatives_ratio=0.0 if is_explicit else settings.negatives_ratio,
      seed=seed,
      history_length=length,
    )
  b0 = prior.b0
  if name == RATED and is_explicit:
    b0 = 1 + np.bincount(interactions.item[before], 1 - reward[before], num_items)
  return World(
    name=name,
    protocol=_protocol(name, is_explicit, threshold, settings, sampled),
    baseline='mean-rating greedy' if name == RATED and is_explicit else 'popularity greedy',
    data=jax.tree.map(jnp.asarray, data),
    environment=_VISITS,
    a0=jnp.asarray(prior.a0, jnp.float32),
    b0=jnp.asarray(b0, jnp.float32),
    num_events=jnp.asarray(prior.num_events, jnp.float32),
    is_new=~np.isin(data.users, seen_users),
    is_cold=prior.num_events == 0,
  )


def from_vectors(vectors: dict[str, np.ndarray], num_visits: int, seed: int) -> World:
  """A world of the user's own vectors: the reward of every item is known or drawn once.

  Args:
    vectors: items [N, F] and users [U, F], each divided by its root mean squared norm, which leaves
      the order of u·M̂ as it was; rewards [U, N] with NaN where unknown, or nothing, and then the
      reward is 1 with probability sigmoid(standardised u·M̂ - 2).
    num_visits: of each user, in random order; at most half of the items whose reward is known, as
      every policy would end equal if all were shown.
    seed: of the order and of drawn rewards.
  """
  items, users = (_at_unit_scale(vectors[name]) for name in ('items', 'users'))
  rng = np.random.default_rng(seed)
  rewards = vectors.get('rewards')
  if rewards is None:
    logits = users @ items.T
    logits = (logits - logits.mean()) / max(logits.std(), 1e-12)
    rewards = (rng.random(logits.shape) < 1 / (1 + np.exp(2 - logits))).astype(np.float32)
  mask = ~np.isnan(rewards)
  number = np.minimum(num_visits, np.maximum(1, mask.sum(1) // 2))
  visits = rng.permutation(np.repeat(np.arange(len(users)), number))
  empty = np.zeros((len(users), 0))
  data = VisitData(
    visits=visits.astype(np.int32),
    rewards=np.where(mask, rewards, 0).astype(np.float32),
    mask=mask,
    items=None,
    features=items.astype(np.float32),
    history=History(empty.astype(np.int32), empty.astype(np.float32), empty.astype(bool)),
    users=np.arange(len(users), dtype=np.int32),
    queries=users.astype(np.float32),
    most_visits=int(number.max()),
  )
  drawn = 'drawn once from sigmoid(standardised u·M̂ - 2)' if 'rewards' not in vectors else 'given'
  return World(
    name=OWN,
    protocol=(
      f'{num_visits} visits a user, or half as many as the items of known reward, in random order, '
      f'no item twice; reward {drawn}; linear policies read the leading directions of the items '
      'less their mean, at a mean squared norm of 1'
    ),
    baseline='popularity greedy',
    data=jax.tree.map(jnp.asarray, data),
    environment=_VISITS,
    a0=jnp.ones(len(items)),
    b0=jnp.full(len(items), 9.0),
    num_events=jnp.zeros(len(items)),
    # All of them are new and cold: there are no others to tell them apart from.
    is_new=np.zeros(len(users), bool),
    is_cold=np.zeros(len(items), bool),
  )


def with_offers(world: World, number: int, seed: int) -> World:
  """The same world in which only some candidates, drawn anew at each visit, are offered."""
  return dataclasses.replace(
    world,
    protocol=f'{world.protocol}; at each visit {number} of them are offered, drawn at random',
    environment=visit_environment(num_offered=number, seed=seed),
  )


def with_history(world: World, encode_user: EncodeUser, params: Any) -> World:
  """The same world whose queries are user vectors encoded from the history of the rollout."""
  return dataclasses.replace(
    world,
    data=dataclasses.replace(world.data, params=params),
    environment=visit_environment(encode_user),
  )


def _at_unit_scale(vectors: np.ndarray) -> np.ndarray:
  """[n, F] float64 with a mean squared norm of 1; zeros stay zeros."""
  vectors = vectors.astype(np.float64)
  mean_squared_norm = np.mean(np.sum(vectors**2, axis=1))
  return vectors / np.sqrt(mean_squared_norm or 1.0)


def _sample_visitors(
  user: np.ndarray, num_before: int, min_events: int, max_visitors: int, seed: int
) -> tuple[np.ndarray, bool]:
  """[E] bool, events before the cut and those of at most `max_visitors` visitors after it."""
  visitor, count = np.unique(user[num_before:], return_counts=True)
  visitor = visitor[count >= min_events]
  kept = np.ones(len(user), bool)
  if len(visitor) <= max_visitors:
    return kept, False
  chosen = np.random.default_rng((seed, 3)).choice(visitor, max_visitors, replace=False)
  kept[num_before:] = np.isin(user[num_before:], chosen)
  return kept, True


def _protocol(
  name: str, is_explicit: bool, threshold: float, settings: ExploreConfig, sampled: bool
) -> str:
  liked = f'rated it >= {threshold:g} after the cut' if is_explicit else 'chose it after the cut'
  who = ', a random sample of them' if sampled else ''
  if name == CATALOGUE:
    number = settings.min_events_catalogue
    return (
      f'users with at least {number} events after the cut{who}, {number} visits each in the order '
      'of their real events; candidates: every item neither met before the cut nor shown; reward 1 '
      f'if the user {liked}, else 0 (unknown counts as 0); popularity starts from Beta(1 + users '
      'who liked the item, 9 + those who did not), Beta(1, 9) without an event before the cut'
    )
  candidates = 'the items that the user rated after the cut'
  if not is_explicit:
    candidates = (
      f"the user's items after the cut mixed with {settings.negatives_ratio:g} times as many "
      'sampled items that the user never touched'
    )
  return (
    f'users with at least {settings.min_events_rated} events after the cut{who}, half as many '
    f'visits as they have items; candidates: {candidates}, not shown yet; reward 1 if the user '
    f'{liked}, else 0'
  )
