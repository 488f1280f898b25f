"""Logs of actions that have categories, by which some estimators weigh.

Either each action has its own, or they are drawn anew in each round by the action. Rewards are by
context and categories, so that what these estimators assume holds, or by the action as well.

Shape letters: n rounds, X contexts, K actions, E dimensions of C categories each.
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
import scipy.special

from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.off_policy.estimators import Rounds, Terms
from rec_jax.evaluation.off_policy.overlap import overlap_of
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, STRUCTURED
from rec_jax.studies.logged import reward_fits, structure, tables

NUM_CONTEXTS, NUM_ACTIONS, NUM_DIMENSIONS, NUM_CATEGORIES, NUM_FEATURES = 20, 40, 2, 3, 3


class World(NamedTuple):
  """What is logged, evaluated and earned.

  Attributes:
    features: [X, F] of contexts.
    behaviour: [X, K].
    target: [X, K].
    of_action: [X, K] what an action earns beside its categories.
    of_category: [X, E, C] what a category earns in each dimension.
    chance: [K, E, C] of each category given the action; 0 and 1 where each action has its own.
    is_drawn: whether categories are drawn in each round.
    truth: value of the policy.
  """

  features: np.ndarray
  behaviour: np.ndarray
  target: np.ndarray
  of_action: np.ndarray
  of_category: np.ndarray
  chance: np.ndarray
  is_drawn: bool
  truth: float


def world(random: np.random.RandomState, is_drawn: bool, violation: float) -> World:
  """A world in which actions earn differently by `violation` beyond what their categories do."""
  shape = (NUM_ACTIONS, NUM_DIMENSIONS, NUM_CATEGORIES)
  if is_drawn:
    chance = scipy.special.softmax(2 * random.normal(size=shape), axis=2)
  else:
    chance = np.eye(NUM_CATEGORIES)[random.randint(NUM_CATEGORIES, size=shape[:2])]
  of_category = random.normal(size=(NUM_CONTEXTS, *shape[1:])) / 2
  of_action = violation * random.normal(size=(NUM_CONTEXTS, NUM_ACTIONS))
  mean = np.einsum('xec,kec->xk', of_category, chance) + of_action
  behaviour, preferred = random.normal(size=(2, NUM_CONTEXTS, NUM_ACTIONS))
  target = scipy.special.softmax(0.5 * preferred + mean, axis=1)
  return World(
    random.normal(size=(NUM_CONTEXTS, NUM_FEATURES)),
    scipy.special.softmax(0.5 * behaviour, axis=1),
    target,
    of_action,
    of_category,
    chance,
    is_drawn,
    float((target * mean).sum(1).mean()),
  )


def terms(
  world: World, random: np.random.RandomState, num_rounds: int
) -> tuple[dict[str, Terms], dict[str, bool]]:
  """One log: what each round adds to each estimate, and of which nothing warns but the bias."""
  context = random.randint(NUM_CONTEXTS, size=num_rounds)
  seed = random.randint(1 << 30)
  log, action_dist = _log(world, random, context), world.target[context][:, :, None]
  q_hat = reward_fits.expected_rewards(log, 0, seed)
  rounds, _ = tables.matched(log, tables.held(action_dist), q_hat)
  rounds = structure.weighed(log, action_dist, rounds, tuple(STRUCTURED), seed)
  names = [
    'ipw',
    'dr',
    *(name for name, weight in STRUCTURED.items() if getattr(rounds, weight) is not None),
  ]
  with jax.enable_x64():
    found = {name: ESTIMATORS[name](rounds) for name in names}
  return found, {name: overlap_of(_seen(rounds, name)).warning == '' for name in names}


def _log(world: World, random: np.random.RandomState, context: np.ndarray) -> LoggedFeedback:
  num_rounds = len(context)
  behaviour = world.behaviour[context]
  action = (behaviour.cumsum(1) > random.uniform(size=(num_rounds, 1))).argmax(1)
  level = random.uniform(size=(num_rounds, NUM_DIMENSIONS, 1))
  category = (world.chance[action].cumsum(2) > level).argmax(2)
  earned = world.of_category[context[:, None], np.arange(NUM_DIMENSIONS), category].sum(1)
  earned = earned + world.of_action[context, action]
  codes = None if world.is_drawn else world.chance.argmax(2).astype(float)
  return LoggedFeedback(
    round=np.arange(num_rounds),
    user_id=np.full(num_rounds, ''),
    item_ids=np.arange(NUM_ACTIONS).astype(str),
    action=action,
    num_candidates=np.full(num_rounds, NUM_ACTIONS),
    position=np.zeros(num_rounds, int),
    propensity=behaviour[np.arange(num_rounds), action],
    reward=earned + 0.5 * random.normal(size=num_rounds),
    context=world.features[context],
    action_context=codes,
    pi_b=behaviour[:, :, None],
    action_embed=category.astype(float) if world.is_drawn else None,
  )


def _seen(rounds: Rounds, name: str) -> Rounds:
  """The rounds with the weights that an estimator goes by."""
  if name not in STRUCTURED:
    return rounds
  weight = getattr(rounds, STRUCTURED[name])
  return dataclasses.replace(rounds, weight=weight, second_moment=None, fourth_moment=None)
