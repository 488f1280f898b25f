"""Exploring more shows more items and more cold ones, though features of cold items are short."""

import jax
import jax.numpy as jnp
import numpy as np

from rec_jax import bandits
from rec_jax.environments.base import Environment, known_metrics, outcome_rows
from rec_jax.environments.rollout import rollout, side_by_side
from rec_jax.types import ArmSpec, Context

NUM_KNOWN, NUM_COLD, DIM, NUM_USERS, NUM_ROUNDS = 60, 20, 6, 30, 450
NUM_ARMS = NUM_KNOWN + NUM_COLD
IS_COLD = np.arange(NUM_ARMS) >= NUM_KNOWN
PRECISION, NOISE = 20.0, 0.2


def planted():
  """Features, of which those of cold items are shrunk, counts of events, and chances [U, N]."""
  rng = np.random.default_rng(0)
  features = rng.normal(size=(NUM_ARMS, DIM)) / np.sqrt(DIM)
  # Known items are liked the more the longer their features are, as popular ones are.
  length = np.where(IS_COLD, 1, np.linspace(0.3, 3, NUM_ARMS))
  features *= length[:, None]
  popularity = np.where(IS_COLD, 0.1, 0.05 + 0.1 * length)
  tastes = rng.normal(size=(NUM_USERS, DIM)) / np.sqrt(PRECISION)
  chances = np.clip(popularity + tastes @ features.T, 0, 1)
  events = np.where(IS_COLD, 0, 400 * popularity)
  seen = np.where(IS_COLD[:, None], 0.4, 1) * features
  return (jnp.asarray(x, jnp.float32) for x in (seen, events, chances))


FEATURES, EVENTS, CHANCES = planted()


def environment():
  """Users come in turn and are shown no item twice."""

  def observe(key, data, state, t):
    user = t % NUM_USERS
    return Context(
      user_id=user[None],
      query=jnp.ones((1, 1)),
      features=FEATURES[None],
      arm_ids=jnp.arange(NUM_ARMS)[None],
      mask=~state[user][None],
    )

  def step(key, data, state, t, context, decision):
    expected = CHANCES[context.user_id]
    chance = jnp.take_along_axis(expected, decision.index, axis=1)
    reward = jax.random.bernoulli(key, chance).astype(jnp.float32)
    state = state.at[context.user_id[0], decision.index[0]].set(True)
    metrics = known_metrics(context, decision, expected, reward)
    return state, outcome_rows(context, decision, reward), metrics

  return Environment(lambda key, data: jnp.zeros((NUM_USERS, NUM_ARMS), bool), observe, step)


def shown(alphas, doubts):
  """For each alpha (distinct items, share of cold ones) of exposures, by the mean over seeds."""
  longest = float(jnp.max(jnp.sum(FEATURES**2, axis=1))) / PRECISION
  doubt = {
    'item_variance': 1 / (1 / longest + EVENTS / (NOISE + longest)),
    'item_noise': longest,
  }

  def make(settings):
    return bandits.make(
      'per_user_lin_ucb',
      alpha=settings['alpha'],
      lambda_=PRECISION,
      noise_variance=NOISE,
      a0=1 + EVENTS,
      b0=9 + jnp.where(jnp.asarray(IS_COLD), 0, 400 - EVENTS),
      **(doubt if doubts else {}),
    )

  spec = ArmSpec(NUM_ARMS, NUM_ARMS, 1, DIM, num_users=NUM_USERS)
  keys, settings = side_by_side(jax.random.key(0), 8, [{'alpha': alpha} for alpha in alphas])
  played = rollout(keys, make, environment(), (), spec, NUM_ROUNDS, settings=settings)
  arms = played.metrics.arm_id.reshape(len(alphas), 8, -1)
  return [(np.mean([len(np.unique(row)) for row in each]), np.mean(IS_COLD[each])) for each in arms]


def test_a_wider_bound_shows_more_items_and_more_cold_ones():
  (distinct, cold), (_, middle), (more, most) = shown((0.03, 0.5, 3.0), doubts=True)
  assert more > distinct
  assert cold < middle < most
  # Without doubt about the items themselves the bound is widest for those that are known best.
  assert shown((3.0,), doubts=False)[0][1] < most / 2
