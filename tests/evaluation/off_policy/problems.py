"""Small logs with a known truth, and the golden values."""

import pathlib

import numpy as np

from rec_jax.evaluation.off_policy import estimators

GOLDEN = pathlib.Path(__file__).parents[2] / 'data/golden/obp_0_5_7_estimators.npz'
COLUMNS = ('reward', 'action', 'pscore', 'action_dist', 'position', 'q_hat')


def golden():
  """Problem -> (its arrays by name, values by the estimator's name)."""
  with np.load(GOLDEN) as archive:
    arrays = dict(archive)
  problems = {}
  for name in sorted({key.split('/')[0] for key in arrays}):
    prefix = f'{name}/value/'
    log = {column: arrays[f'{name}/{column}'] for column in COLUMNS}
    values = {
      key.removeprefix(prefix): float(arrays[key]) for key in arrays if key.startswith(prefix)
    }
    problems[name] = (log, values)
  return problems


def distribution(rng, *shape):
  """Probabilities over axis 1 of [n, K, L], none below a twentieth of the uniform one."""
  raw = rng.dirichlet(np.ones(shape[1]), size=(shape[0], *shape[2:]))
  probabilities = np.moveaxis(raw, -1, 1)
  return 0.95 * probabilities + 0.05 / shape[1]


def log(seed, num_rounds=200, num_actions=4, num_positions=2):
  """A random log of a known behaviour policy with continuous rewards, without any structure."""
  rng = np.random.default_rng(seed)
  shape = (num_rounds, num_actions, num_positions)
  behaviour = distribution(rng, *shape)
  position = rng.integers(num_positions, size=num_rounds)
  logged = behaviour[np.arange(num_rounds), :, position]
  action = np.array([rng.choice(num_actions, p=p) for p in logged])
  return {
    'reward': rng.normal(size=num_rounds),
    'action': action,
    'pscore': logged[np.arange(num_rounds), action],
    'action_dist': distribution(rng, *shape),
    'position': position,
    'q_hat': rng.normal(size=shape),
  }


def matched(log):
  """Rounds of a log, with weights as if actions were known to be alike, nearer to 1."""
  rounds = estimators.match(**log)
  alike = [1 + share * (rounds.weight - 1) for share in (0.5, 0.3, 0.2)]
  return rounds.replace(marginal=alike[0], selected=alike[1], convolved=alike[2])


class Tiny:
  """Contexts x actions with known rewards, small enough to enumerate.

  Contexts are equally likely and rewards are means plus a coin of +-0.5.
  """

  def __init__(self, num_contexts=3, num_actions=3):
    rng = np.random.default_rng(5)
    shape = (num_contexts, num_actions, 1)
    self.behaviour = distribution(rng, *shape)[..., 0]
    self.target = distribution(rng, *shape)[..., 0]
    self.mean = rng.random((num_contexts, num_actions))
    self.model = self.mean + rng.normal(0, 0.5, size=self.mean.shape)
    self.value = float((self.target * self.mean).sum(1).mean())

  def rounds(self, context, action, coin):
    """The arguments of the estimators for given draws, all [n]."""
    return {
      'reward': self.mean[context, action] + coin,
      'action': action,
      'pscore': self.behaviour[context, action],
      'action_dist': self.target[context][..., None],
      'position': np.zeros(len(action), int),
      'q_hat': self.model[context][..., None],
    }

  def everything(self):
    """Every (context, action, coin) once, with its probability."""
    context, action, coin = (
      axis.ravel()
      for axis in np.meshgrid(*map(np.arange, self.mean.shape), [-0.5, 0.5], indexing='ij')
    )
    probability = self.behaviour[context, action] / self.mean.shape[0] / 2
    return self.rounds(context, action, coin), probability

  def draw(self, rng, num_rounds):
    """`num_rounds` rounds as the behaviour policy logs them."""
    context = rng.integers(self.mean.shape[0], size=num_rounds)
    below = rng.random(num_rounds)[:, None] > np.cumsum(self.behaviour, axis=1)[context]
    return self.rounds(context, below.sum(1), rng.choice([-0.5, 0.5], num_rounds))
