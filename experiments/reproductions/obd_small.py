"""The Open Bandit sample: uniformly logged rounds value ZOZOTOWN's Thompson sampling."""

import tempfile

import jax
import numpy as np

from experiments.reproductions import Figure
from rec_jax.data import open_bandit, sources
from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy import intervals
from rec_jax.evaluation.off_policy.estimators import dm, dr, ipw, match
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic

SETUP = (
  'Open Bandit sample, Random -> BernoulliTS (the ZOZOTOWN prior, 100,000 draws), campaign all, '
  'logistic regression by cross-fitting over 3 folds, one model a position'
)
SOURCE = 'the quick start of the Open Bandit Pipeline, github.com/st-tech/zr-obp'
# Of the draws and of the folds.
SEED = 12345
NUM_DRAWS = 100_000


def run() -> list[Figure]:
  """Values, IPW also over the mean reward of the log, and errors against the other log's mean."""
  folder = sources.open_bandit_folder()
  with tempfile.TemporaryDirectory() as directory:
    for policy in open_bandit.POLICIES:
      open_bandit.write(folder, policy, 'all', directory)
    log, on_policy = (open_bandit.read(directory, policy, 'all') for policy in open_bandit.POLICIES)
  num_rounds = len(log.action)
  shares = thompson(*sources.open_bandit_prior('all'), num_positions=3)
  with jax.enable_x64():
    q_hat = cross_fit(
      jax.random.key(SEED),
      logistic(),
      context=np.asarray(log.context, np.float64),
      action_context=np.asarray(log.action_context),
      action=log.action,
      reward=log.reward,
      fold=folds(SEED, num_rounds, 3),
      position=log.position,
      num_positions=3,
    )
    rounds = match(
      log.reward,
      log.action,
      log.propensity,
      np.broadcast_to(shares, (num_rounds, *shares.shape)),
      log.position,
      q_hat,
    )
    table = {'IPW': ipw(rounds), 'DM': dm(rounds), 'DR': dr(rounds)}
  values = intervals.bootstrap(jax.random.key(SEED), table)
  published = {'IPW': (0.004553, 0.0840), 'DM': (0.003545, 0.1560), 'DR': (0.004727, 0.1255)}
  truth, logged = on_policy.reward.mean(), log.reward.mean()
  # Tolerances are half a unit of the last published digit.
  figures = [
    Figure(f'{name} value', published[name][0], value, 5e-7) for name, value in values.items()
  ]
  ipw_value = values['IPW']
  relative = Estimate(
    ipw_value.value / logged, ipw_value.low / logged, ipw_value.high / logged, num_rounds
  )
  figures.append(Figure('IPW value over the logged mean', 1.198126, relative, 5e-7))
  for name, value in values.items():
    error = Estimate(abs(value.value - truth) / truth, np.nan, np.nan, num_rounds)
    figures.append(Figure(f'{name} relative error', published[name][1], error, 5e-5))
  return figures


def thompson(alpha: np.ndarray, beta: np.ndarray, num_positions: int) -> np.ndarray:
  """[K, L] shares of Bernoulli Thompson sampling without feedback, by OBP's own random numbers."""
  draws = np.random.RandomState(SEED).beta(alpha, beta, (NUM_DRAWS, len(alpha)))
  ranked = np.argsort(-draws, axis=1)[:, :num_positions]
  counts = [np.bincount(column, minlength=len(alpha)) for column in ranked.T]
  return np.stack(counts, axis=1) / NUM_DRAWS
