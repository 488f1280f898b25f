"""The Open Bandit sample: uniformly logged rounds value ZOZOTOWN's Thompson sampling."""

from pathlib import Path

import jax
import numpy as np

from experiments.reproductions import Repeat, reproduction
from rec_jax.data import open_bandit, sources
from rec_jax.data.logged_feedback import LoggedFeedback
from rec_jax.data.open_bandit_files import POLICIES
from rec_jax.evaluation.off_policy.estimators import dm, dr, ipw, match
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected
from rec_jax.studies.logged.open_bandit_errors import SEED, thompson

_TITLE = 'The Open Bandit sample values its Thompson sampling from uniform rounds, as published'
_SETUP = (
  'Open Bandit sample, Random -> BernoulliTS (the ZOZOTOWN prior, 100,000 draws), campaign all, '
  'logistic regression by cross-fitting over 3 folds, one model a position'
  '; numbers of the quick start of the Open Bandit Pipeline, github.com/st-tech/zr-obp'
)
# Tolerances are half a unit of the last published digit.
PUBLISHED = {
  'IPW value': Expected.near(0.004553, 5e-7),
  'DM value': Expected.near(0.003545, 5e-7),
  'DR value': Expected.near(0.004727, 5e-7),
  'IPW value over the logged mean': Expected.near(1.198126, 5e-7),
  'IPW relative error': Expected.near(0.0840, 5e-5),
  'DM relative error': Expected.near(0.1560, 5e-5),
  'DR relative error': Expected.near(0.1255, 5e-5),
}


def get_study() -> Study:
  """Values, IPW also over the mean reward of the log, and errors against the other log's mean."""
  return reproduction(_TITLE, _SETUP, measure, PUBLISHED, seed=SEED)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """What each round adds to a value; the round is the unit."""
  folder = sources.open_bandit_folder()
  for policy in POLICIES:
    open_bandit.write(folder, policy, 'all', workdir / 'data')
  log, on_policy = (open_bandit.read(workdir / 'data', policy, 'all') for policy in POLICIES)
  table = _terms(log, config.seed)
  rounds = np.arange(len(log.action))
  found = {f'{name} value': Values(value, rounds) for name, value in table.items()}
  found['IPW value over the logged mean'] = Values(table['IPW'] / log.reward.mean(), rounds)
  truth = on_policy.reward.mean()
  for name, value in table.items():
    error = abs(value.mean() - truth) / truth
    found[f'{name} relative error'] = Values([error], ['the log'])
  return found


def _terms(log: LoggedFeedback, seed: int) -> dict[str, np.ndarray]:
  """Estimator -> [n], whose mean is the estimate."""
  num_rounds = len(log.action)
  shares = thompson(*sources.open_bandit_prior('all'), num_positions=3)
  with jax.enable_x64():
    q_hat = cross_fit(
      jax.random.key(seed),
      logistic(),
      context=np.asarray(log.context, np.float64),
      action_context=np.asarray(log.action_context),
      action=log.action,
      reward=log.reward,
      fold=folds(seed, num_rounds, 3),
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
    terms = {'IPW': ipw(rounds), 'DM': dm(rounds), 'DR': dr(rounds)}
    return {name: np.asarray(each.direct + each.correction) for name, each in terms.items()}
