"""Logs of ranked lists whose value is a sum over all lists.

Both policies draw the items of a list apart, so that every estimator of lists applies. What an item
earns depends on itself alone, on the items above as well, or on the whole list.

Shape letters: n lists, X contexts, L positions, K items.
"""

import itertools
from typing import NamedTuple

import numpy as np
import scipy.special

from rec_jax.evaluation.off_policy import slate
from rec_jax.evaluation.off_policy.estimators import Terms
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.evaluation.off_policy.slate_models import cascade_q
from rec_jax.studies.logged.list_estimates import CASCADE_DR, WEIGHTED, worst_overlap
from rec_jax.studies.logged.log_checks import NUM_FOLDS

NUM_CONTEXTS, NUM_POSITIONS, NUM_ITEMS, NUM_FEATURES = 20, 3, 5, 3
# Which other positions count at a position.
USERS = {
  'independent': np.zeros((NUM_POSITIONS, NUM_POSITIONS)),
  'cascade': np.tri(NUM_POSITIONS, k=-1),
  'whole list': 1 - np.eye(NUM_POSITIONS),
}
# Under which of these users an estimator is unbiased, by its kind of weights.
UNBIASED = {
  'standard': ('independent', 'cascade', 'whole list'),
  'interaction': ('independent', 'cascade'),
  'independent': ('independent',),
  'pseudo_inverse': ('independent',),
}


class World(NamedTuple):
  """What is logged, evaluated and earned.

  Attributes:
    features: [X, D] of contexts.
    behaviour: [X, L, K].
    target: [X, L, K].
    chance: [X, K^L, L] of a reward at each position of each list.
    lists: [K^L, L] items.
    truth: value of a list.
  """

  features: np.ndarray
  behaviour: np.ndarray
  target: np.ndarray
  chance: np.ndarray
  lists: np.ndarray
  truth: float


def world(random: np.random.RandomState, users: str) -> World:
  """One world, with rewards in some 30 % of the positions."""
  shape = (NUM_CONTEXTS, NUM_POSITIONS, NUM_ITEMS)
  own, logged, preferred = random.normal(size=(3, *shape))
  behaviour = scipy.special.softmax(0.5 * logged, axis=2)
  target = scipy.special.softmax(0.5 * (own + preferred), axis=2)
  lists = np.array(list(itertools.product(range(NUM_ITEMS), repeat=NUM_POSITIONS)))
  logits = np.stack([own[:, place, lists[:, place]] for place in range(NUM_POSITIONS)], axis=2)
  # What an item at one position does to another.
  between = random.normal(size=(NUM_POSITIONS, NUM_POSITIONS, NUM_ITEMS, NUM_ITEMS))
  for place, other in np.argwhere(USERS[users]):
    logits[:, :, place] += between[place, other, lists[:, place], lists[:, other]]
  chance = scipy.special.expit(logits - 1)
  shown = np.ones((NUM_CONTEXTS, len(lists)))
  for place in range(NUM_POSITIONS):
    shown *= target[:, place, lists[:, place]]
  truth = float((shown[:, :, None] * chance).sum((1, 2)).mean())
  features = random.normal(size=(NUM_CONTEXTS, NUM_FEATURES))
  return World(features, behaviour, target, chance, lists, truth)


def terms(
  world: World, random: np.random.RandomState, num_rounds: int
) -> tuple[dict[str, Terms], dict[str, bool]]:
  """One log: what each list adds to each estimate, and of which nothing warns."""
  context = random.randint(NUM_CONTEXTS, size=num_rounds)
  level = random.uniform(size=(num_rounds, NUM_POSITIONS, 1))
  action = (world.behaviour[context].cumsum(2) > level).argmax(2)
  number = np.ravel_multi_index(action.T, (NUM_ITEMS,) * NUM_POSITIONS)
  chance = world.chance[context, number]
  reward = (random.uniform(size=chance.shape) < chance).astype(float)
  pscore, target = (
    np.take_along_axis(policy[context], action[:, :, None], axis=2)[:, :, 0]
    for policy in (world.behaviour, world.target)
  )
  weights = {
    'standard': slate.standard_weights(pscore, target),
    'interaction': slate.interaction_weights(pscore, target),
    'independent': slate.independent_weights(pscore, target),
    'pseudo_inverse': slate.pseudo_inverse_weights(pscore, target),
  }
  table = {name: make(reward, weights[kind]) for name, (kind, make) in WEIGHTED.items()}
  distribution = world.target[context]
  fold = folds(random.randint(1 << 30), num_rounds, NUM_FOLDS)
  q_hat = cascade_q(world.features[context], np.eye(NUM_ITEMS), action, reward, distribution, fold)
  table[CASCADE_DR] = slate.cascade_dr(reward, action, pscore, target, distribution, q_hat)
  quiet = {kind: worst_overlap(reward, each).warning == '' for kind, each in weights.items()}
  return table, {name: quiet[kind_of(name)] for name in table}


def kind_of(name: str) -> str:
  """The kind of weights of an estimator."""
  return 'interaction' if name == CASCADE_DR else WEIGHTED[name][0]
