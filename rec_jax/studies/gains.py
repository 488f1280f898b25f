"""How much policies learnt from a log earn more than the one that logged, over 20 synthetic worlds.

A log teaches by its first 2,000 rounds, with 5 features and 10 actions, rewards 0 and 1, by a
softmax of a noisy copy of the truth with a fifth of uniform exploration. Expected rewards are
known, so values are exact, in its other 2,000 rounds, which taught nothing. The unit of an interval
is the world.
"""

import numpy as np
from scipy import special

from rec_jax.data import obp
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.evaluation.intervals import t_interval
from rec_jax.report import terminal
from rec_jax.report.numbers import Cell
from rec_jax.studies.logged import learn, policy_checkpoint
from rec_jax.studies.logged.objectives import OBJECTIVES, LearningConfig

NUM_WORLDS, NUM_ROUNDS, NUM_FEATURES, NUM_ACTIONS = 20, 2_000, 5, 10
EXPLORATION = 0.2


def run() -> None:
  """Prints what each objective of `learn_policy` adds to the logging policy, paired by world."""
  gains: dict[str, list[list[float]]] = {objective: [] for objective in OBJECTIVES}
  values = []
  for seed in range(NUM_WORLDS):
    log, expected, behaviour = make_world(seed)
    logging = earned(behaviour, expected)
    values.append([*logging, expected[NUM_ROUNDS:].max(1).mean()])
    for objective in OBJECTIVES:
      frozen = learn.learn(log, LearningConfig(objective), NUM_ROUNDS, seed)
      query, features = policy_checkpoint.seen_by(frozen, log)
      learnt = earned(special.softmax(query @ features.T, axis=1), expected)
      gains[objective].append([own - before for own, before in zip(learnt, logging, strict=True)])
  item, slate, best = np.mean(values, axis=0)
  print(f'The policy that logged: {item:.4f} an item, {slate:.4f} a slate; best item: {best:.4f}.')
  columns = [
    'objective',
    'gain an item',
    'worlds with a gain',
    'gain a slate',
    'worlds with a gain',
  ]
  rows: list[list[Cell]] = []
  for objective, found in gains.items():
    row: list[Cell] = [objective]
    for gain in np.array(found).T:
      row += [t_interval(gain), f'{(gain > 0).sum()} of {NUM_WORLDS}']
    rows.append(row)
  print(terminal.table(columns, rows))


def make_world(seed: int) -> tuple[LoggedFeedback, np.ndarray, np.ndarray]:
  """(log, expected rewards [n, K], the policy that logged [n, K])."""
  rng = np.random.default_rng(seed)
  weights, shape = rng.normal(size=(NUM_ACTIONS, NUM_FEATURES)), (2 * NUM_ROUNDS, NUM_FEATURES)
  context = rng.normal(size=shape)
  expected = special.expit(context @ weights.T - 1)
  preferred = special.softmax(context @ (weights + rng.normal(size=weights.shape)).T, axis=1)
  behaviour = (1 - EXPLORATION) * preferred + EXPLORATION / NUM_ACTIONS
  rows = np.arange(len(context))
  below = rng.random(len(rows))[:, None] > np.cumsum(behaviour, axis=1)
  action = below.sum(1).clip(max=NUM_ACTIONS - 1)
  feedback = {
    'n_actions': NUM_ACTIONS,
    'action': action,
    'reward': (rng.random(len(rows)) < expected[rows, action]).astype(float),
    'pscore': behaviour[rows, action],
    'context': context,
  }
  return obp.from_dictionary(feedback), expected, behaviour


def earned(policy: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
  """What a policy [n, K] earns with an item, and with a slate of draws, each item once.

  Only rounds that taught nothing count; the slate has as many draws as `top_k` takes.
  """
  policy, expected = policy[NUM_ROUNDS:], expected[NUM_ROUNDS:]
  shown = 1 - (1 - policy) ** LearningConfig('top_k').slate_size
  return float((policy * expected).sum(1).mean()), float((shown * expected).sum(1).mean())
