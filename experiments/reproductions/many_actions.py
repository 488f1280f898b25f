"""Worlds whose actions have random categories, which alone decide on the reward."""

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special

from rec_jax.evaluation.off_policy.two_policies import TwoPolicies

NUM_CATEGORIES, NUM_DIMENSIONS, LATENT, NUM_FEATURES = 10, 3, 5, 10
BETA, EPSILON, NOISE = -1.0, 0.05, 2.5
# Contexts that the true value is a mean over, and cells of tables in memory at once.
NUM_TEST, CHUNK_CELLS = 100_000, 1 << 20


class World(NamedTuple):
  """What the rewards are by.

  Attributes:
    chance: [K, C, D] of each category in each dimension, given the action.
    columns: [F + 1, D * C] expected rewards are (1, context) @ columns, by category.
    importance: [D * C] by which these enter.
  """

  chance: np.ndarray
  columns: np.ndarray
  importance: np.ndarray


class Log(NamedTuple):
  """A log: context [n, F], embedding [n, D], reward and best action [n], behaviour [n, K]."""

  context: np.ndarray
  embedding: np.ndarray
  reward: np.ndarray
  best: np.ndarray
  behaviour: np.ndarray
  policies: TwoPolicies


def world(random: np.random.RandomState, num_actions: int) -> World:
  """Equations 4 and 5 of Saito & Joachims (2022), each dimension standardised."""
  latent = random.normal(size=(NUM_DIMENSIONS, NUM_CATEGORIES, LATENT))
  logits = random.normal(size=(num_actions, NUM_CATEGORIES, NUM_DIMENSIONS))
  importance = random.dirichlet(random.uniform(size=NUM_DIMENSIONS))
  columns = []
  for vectors in latent:
    mixed, of_context, of_category = (
      random.uniform(-1, 1, size) for size in ((NUM_FEATURES, LATENT), NUM_FEATURES, LATENT)
    )
    slopes = mixed @ vectors.T + of_context[:, None]
    level = vectors @ of_category
    # Over contexts and categories of mean 0 and variance 1, as the source's reward function.
    variance = (slopes**2).sum(0).mean() + level.var()
    columns.append(np.concatenate([(level - level.mean())[None], slopes]) / np.sqrt(variance))
  return World(
    scipy.special.softmax(logits, axis=1).astype(np.float32),
    np.concatenate(columns, axis=1),
    np.repeat(importance, NUM_CATEGORIES),
  )


def expected(world: World, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(expected rewards [n, K] float32 of actions, [n, D * C] of categories, by importance)."""
  of_category = np.c_[np.ones(len(context)), context] @ world.columns * world.importance
  table = world.chance.transpose(2, 1, 0).reshape(-1, len(world.chance))
  return of_category.astype(np.float32) @ table, of_category


def value(world: World, random: np.random.RandomState) -> float:
  """Of the policy that takes the best action, but a uniform one in one of twenty rounds."""
  found, left = 0.0, NUM_TEST
  while left:
    size = min(left, max(1, CHUNK_CELLS // len(world.chance)))
    reward, _ = expected(world, random.normal(size=(size, NUM_FEATURES)))
    found += float(((1 - EPSILON) * reward.max(1) + EPSILON * reward.mean(1)).sum())
    left -= size
  return found / NUM_TEST


def log(world: World, random: np.random.RandomState, num_rounds: int) -> Log:
  """Rounds logged by softmax(BETA q), equation 6 there."""
  num_actions = len(world.chance)
  context = random.normal(size=(num_rounds, NUM_FEATURES))
  behaviour = np.empty((num_rounds, num_actions, 1), np.float32)
  target = np.full(behaviour.shape, EPSILON / num_actions, np.float32)
  action, best = (np.empty(num_rounds, int) for _ in range(2))
  of_category = np.empty((num_rounds, NUM_DIMENSIONS * NUM_CATEGORIES))
  size = max(1, CHUNK_CELLS // num_actions)
  for start in range(0, num_rounds, size):
    rows = slice(start, start + size)
    reward, of_category[rows] = expected(world, context[rows])
    best[rows] = reward.argmax(1)
    chance = np.exp(BETA * reward - (BETA * reward).max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    action[rows] = (chance.cumsum(1) > random.uniform(size=(len(chance), 1))).argmax(1)
    behaviour[rows, :, 0] = chance
  target[np.arange(num_rounds), best, 0] += 1 - EPSILON
  level = random.uniform(size=(num_rounds, 1, NUM_DIMENSIONS))
  embedding = (world.chance[action].cumsum(1) > level).argmax(1)
  places = embedding + NUM_CATEGORIES * np.arange(NUM_DIMENSIONS)
  reward = random.normal(np.take_along_axis(of_category, places, axis=1).sum(1), NOISE)
  policies = TwoPolicies(target, behaviour, action, np.zeros(num_rounds, int))
  return Log(context, embedding, reward, best, behaviour[:, :, 0], policies)


def regressed(log: Log, num_actions: int) -> np.ndarray:
  """[n, K] chances of actions by a multinomial regression on context and categories.

  That of scikit-learn as the source calls it: C = 1, intercepts free, no cross-fitting.
  """
  one_hot = [np.eye(NUM_CATEGORIES)[column][:, 1:] for column in log.embedding.T]
  columns = np.concatenate([log.context, *one_hot, np.ones((len(log.reward), 1))], axis=1)
  columns = columns.astype(np.float32)
  seen, label = np.unique(log.policies.action, return_inverse=True)
  rows, shape = np.arange(len(label)), (columns.shape[1], len(seen))
  share = np.bincount(label) / len(label)
  penalty = np.where(np.arange(len(columns.T)) < len(columns.T) - 1, 1.0, 0.0)[:, None]
  # By the square root of the curvature at the start, all parameters are about as well known.
  scale = 1 / np.sqrt((columns**2).sum(0)[:, None] * share * (1 - share) + penalty + 1)

  def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
    params = flat.reshape(shape) * scale
    chance = scipy.special.log_softmax(columns @ params.astype(np.float32), axis=1)
    total = float((penalty * params**2).sum() / 2 - chance[rows, label].sum(dtype=np.float64))
    np.exp(chance, out=chance)
    chance[rows, label] -= 1
    return total, ((columns.T @ chance + penalty * params) * scale).ravel()

  # Of the log-likelihood: float32 holds no more of its gradient.
  options = {'maxiter': 1000, 'ftol': 1e-7, 'gtol': 0}
  start = np.zeros(scale.size)
  found = scipy.optimize.minimize(loss, start, jac=True, method='L-BFGS-B', options=options)
  scores = columns @ (found.x.reshape(shape) * scale).astype(np.float32)
  chance = np.zeros((len(label), num_actions), np.float32)
  chance[:, seen] = scipy.special.softmax(scores, axis=1)
  return chance
