"""Synthetic logs of a softmax policy value the classifier that was learnt from another log."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.special

from experiments.reproductions import Repeat, relative_errors, reproduction
from rec_jax.evaluation.off_policy.estimators import match
from rec_jax.evaluation.off_policy.reward_models import cross_fit, folds, logistic
from rec_jax.runs.study import Study, Values
from rec_jax.runs.study_results import Expected

_TITLE = 'Seven estimators on synthetic logs err as published'
_SETUP = (
  'synthetic logs, 10,000 rounds, 30 actions, 5 features, logged by softmax(-3 q); evaluated: '
  'softmax of the probabilities of a classifier that was learnt by IPW from another such log; '
  'logistic regression by cross-fitting over 3 folds; relative errors, mean of {num_seeds} runs'
  '; numbers of examples/synthetic of the Open Bandit Pipeline, github.com/st-tech/zr-obp'
)
PUBLISHED = {
  'dm': 0.074390,
  'ipw': 0.009481,
  'snipw': 0.006665,
  'dr': 0.006175,
  'sndr': 0.006118,
  'switch_dr': 0.006175,
  'dr_os': 0.021951,
}
# The random numbers are those of the source, so that only where its solvers stop is left: far less
# than the standard errors over the runs, 0.001 to 0.006.
TOLERANCE = 5e-6
NUM_ROUNDS, NUM_ACTIONS, NUM_FEATURES, BETA = 10_000, 30, 5, -3.0


class Log(NamedTuple):
  """A synthetic log: context [n, D], action [n], reward [n], q and pi_b [n, K]."""

  context: np.ndarray
  action: np.ndarray
  reward: np.ndarray
  q: np.ndarray
  pi_b: np.ndarray


def get_study() -> Study:
  """Relative errors, means over the runs."""
  published = {name: Expected.near(value, TOLERANCE) for name, value in PUBLISHED.items()}
  return reproduction(_TITLE, _SETUP, measure, published, runs=20)


def measure(config: Repeat, workdir: Path) -> dict[str, Values]:
  """The relative errors of one run."""
  del workdir
  with jax.enable_x64():
    random = np.random.RandomState(config.seed)
    train, log = (sample(config.seed, random) for _ in range(2))
    shares = scipy.special.softmax(classify(train, log.context), axis=1)
    q_hat = cross_fit(
      jax.random.key(config.seed),
      logistic(relative_errors.PENALTY),
      context=log.context,
      action_context=np.eye(NUM_ACTIONS),
      action=log.action,
      reward=log.reward,
      fold=folds(relative_errors.FOLD_SEED, NUM_ROUNDS, relative_errors.NUM_FOLDS),
    )
    pscore = log.pi_b[np.arange(NUM_ROUNDS), log.action]
    rounds = match(log.reward, log.action, pscore, shares[..., None], q_hat=q_hat)
    return relative_errors.values(rounds, float((shares * log.q).sum(1).mean()), config.seed)


def sample(seed: int, random: np.random.RandomState) -> Log:
  """A log; the coefficients and the draws of actions depend on the seed alone."""
  context = random.normal(size=(NUM_ROUNDS, NUM_FEATURES))
  coefficients = np.random.RandomState(seed)
  # Contexts and one column an action, each after a constant.
  x = np.insert(context, 0, 1, axis=1)
  a = np.insert(np.eye(NUM_ACTIONS), 0, 1, axis=1)
  logits = (x @ coefficients.uniform(-1, 1, x.shape[1]))[:, None]
  logits = logits + a @ coefficients.uniform(-1, 1, a.shape[1])
  logits = logits + x @ coefficients.uniform(-1, 1, (x.shape[1], a.shape[1])) @ a.T
  # Standardised, as when the numbers were published; OBP 0.5.10 subtracts mean / std instead.
  q = scipy.special.expit((logits - logits.mean()) / logits.std())
  pi_b = scipy.special.softmax(BETA * q, axis=1)
  level = np.random.RandomState(seed).uniform(size=(NUM_ROUNDS, 1))
  action = (pi_b.cumsum(1) > level).argmax(1)
  reward = random.binomial(1, q[np.arange(NUM_ROUNDS), action])
  return Log(context, action, reward, q, pi_b)


def classify(train: Log, context: np.ndarray) -> np.ndarray:
  """[n, K] probabilities of a multinomial regression on logged actions, weighted by r / pi_b."""
  weight = train.reward / train.pi_b[np.arange(NUM_ROUNDS), train.action]
  shape = (NUM_FEATURES + 1, NUM_ACTIONS)
  fitted = scipy.optimize.minimize(
    _value_and_gradient,
    np.zeros(shape).ravel(),
    (np.insert(train.context, 0, 1, axis=1), train.action, weight),
    method='L-BFGS-B',
    jac=True,
    options={'maxiter': 10_000, 'gtol': 1e-6},
  )
  logits = np.insert(context, 0, 1, axis=1) @ fitted.x.reshape(shape)
  return scipy.special.softmax(logits, axis=1)


@jax.jit
@jax.value_and_grad
def _value_and_gradient(
  flat: jax.Array, design: jax.Array, label: jax.Array, weight: jax.Array
) -> jax.Array:
  params = flat.reshape(design.shape[1], -1)
  log_shares = jax.nn.log_softmax(design @ params)
  likelihood = weight @ jnp.take_along_axis(log_shares, label[:, None], axis=1)[:, 0]
  penalty = relative_errors.PENALTY * (params[1:] ** 2).sum() / 2
  return (penalty - likelihood) / weight.sum()
