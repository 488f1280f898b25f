"""Handwritten digits as a bandit: a log by one classifier values another one."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.reproductions import Repeat, relative_errors, reproduction
from rec_jax.data import sources
from rec_jax.evaluation.off_policy.estimators import match
from rec_jax.evaluation.off_policy.reward_models import folds
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected
from rec_jax.types import InputError

_TITLE = 'Seven estimators on digits as a bandit err as published'
_SETUP = (
  'digits as a bandit, 1,258 of 1,797 rounds to evaluate, the others to learn from; logged by 0.4 '
  'logistic regression + 0.6 uniform; evaluated: 0.9 random forest + 0.1 uniform; boosted trees by '
  'cross-fitting over 3 folds; relative errors, mean of {num_seeds} runs'
  '; numbers of examples/multiclass of the Open Bandit Pipeline, github.com/st-tech/zr-obp'
)
# Mean and standard deviation over the runs.
PUBLISHED = {
  'dm': (0.436541, 0.017629),
  'ipw': (0.030288, 0.024506),
  'snipw': (0.022764, 0.017917),
  'dr': (0.016156, 0.012679),
  'sndr': (0.022082, 0.016865),
  'switch_dr': (0.034657, 0.018575),
  'dr_os': (0.015868, 0.012537),
}
NUM_RUNS, NUM_ROUNDS, NUM_ACTIONS = 30, 1258, 10
# What each policy gives to its classifier's choice; the rest goes to all actions alike.
BEHAVIOUR_SHARE, EVALUATED_SHARE = 0.4, 0.9
TREES = {'n_estimators': 30, 'max_depth': 5, 'min_samples_leaf': 10, 'random_state': 12345}


def get_study() -> Study:
  """Relative errors, means over the runs."""
  # Which version of scikit-learn was used is not said, and each chooses a little differently: two
  # standard errors of the published means.
  published = {
    name: Expected.near(mean, 2 * spread / NUM_RUNS**0.5)
    for name, (mean, spread) in PUBLISHED.items()
  }
  return reproduction(_TITLE, _SETUP, measure, published, runs=NUM_RUNS)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The relative errors of one run.

  Raises:
    InputError: scikit-learn or its copy of the digits is not installed.
  """
  del workdir
  try:
    from sklearn import ensemble, linear_model
  except ImportError as error:
    raise InputError(
      f"obp_digits needs scikit-learn to run; pip install -e '.[reproduce]' ({error})"
    ) from error
  behaviour = linear_model.LogisticRegression(C=1 / relative_errors.PENALTY, max_iter=10_000)
  evaluated = ensemble.RandomForestClassifier(**TREES)
  model = ensemble.GradientBoostingClassifier(learning_rate=0.01, **TREES)
  table, rows = (
    np.loadtxt(sources.classification_file('digits'), delimiter=','),
    np.arange(NUM_ROUNDS),
  )
  with jax.enable_x64():
    # The split and the draws are those of the source.
    shuffled = table[np.random.RandomState(config.seed).permutation(len(table))]
    log, train = shuffled[:NUM_ROUNDS], shuffled[NUM_ROUNDS:]
    pi_b = _mixed(behaviour, BEHAVIOUR_SHARE, train, log)
    pi_e = _mixed(evaluated, EVALUATED_SHARE, train, log)
    level = np.random.RandomState(config.seed).uniform(size=(NUM_ROUNDS, 1))
    action, label = (pi_b.cumsum(1) > level).argmax(1), log[:, -1].astype(int)
    reward = (action == label).astype(float)
    q_hat = _expected_rewards(model, log[:, :-1], action, reward)
    rounds = match(reward, action, pi_b[rows, action], pi_e[..., None], q_hat=q_hat[..., None])
    return relative_errors.values(rounds, float(pi_e[rows, label].mean()), config.seed)


def _mixed(classifier: Any, share: float, train: np.ndarray, log: np.ndarray) -> np.ndarray:
  """[n, K] a policy that takes the classifier's choice or, else, any action."""
  chosen = classifier.fit(train[:, :-1], train[:, -1]).predict(log[:, :-1]).astype(int)
  return share * np.eye(NUM_ACTIONS)[chosen] + (1 - share) / NUM_ACTIONS


def _expected_rewards(
  model: Any, context: np.ndarray, action: np.ndarray, reward: np.ndarray
) -> np.ndarray:
  """[n, K] chances of a reward by cross-fitting."""
  fold = folds(relative_errors.FOLD_SEED, NUM_ROUNDS, relative_errors.NUM_FOLDS)
  inputs = np.hstack([context, np.eye(NUM_ACTIONS)[action]])
  q_hat = np.empty((NUM_ROUNDS, NUM_ACTIONS))
  for f in range(relative_errors.NUM_FOLDS):
    model.fit(inputs[fold != f], reward[fold != f])
    every = np.hstack(
      [
        np.repeat(context[fold == f], NUM_ACTIONS, axis=0),
        np.tile(np.eye(NUM_ACTIONS), (np.sum(fold == f), 1)),
      ]
    )
    q_hat[fold == f] = model.predict_proba(every)[:, 1].reshape(-1, NUM_ACTIONS)
  return q_hat
