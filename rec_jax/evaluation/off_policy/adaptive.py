"""Intervals from logs of a policy that learnt while it logged.

Propensities then depend on earlier rewards, and those of what has disappointed fall: a few late
rounds of large weight carry the estimate, whose error is not normal however long the log is.
Rounds weighted so that each adds alike to the variance bring that back (Hadad et al. 2021; with
contexts Zhan et al. 2021). NumPy, float64.
"""

import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.estimators import Rounds, dr
from rec_jax.types import InputError


def adaptive(
  rounds: Rounds, second_moment: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate:
  """A policy's value by doubly robust scores with weights that stabilise the variance.

  The estimate is sum h_t s_t / sum h_t of the scores s_t of `estimators.dr`, and its variance
  sum h_t^2 (s_t - estimate)^2 / (sum h_t)^2 (Hadad et al. 2021, equations 5 and 12). The weight
  h_t is 1 / sqrt of the mean of the second moments of the rounds before t, which constant
  allocation (section 3) asks of one arm. What is expected of rewards has to come from earlier
  rounds too, `reward_models.cross_fit(forward=True)`, or be zero.

  Args:
    rounds: [n] in the order of time.
    second_moment: [n] sum over actions of pi_e(a|x)^2 / pi_b(a|x), where the whole policy that
      logged is known; the squared weights of the logged actions, which estimate it, if not given.
    level: probability of covering, for many rounds.

  Raises:
    InputError: a second moment that cannot be, in one line that names the row.
  """
  terms = dr(rounds)
  score = np.asarray(terms.direct, np.float64) + np.asarray(terms.correction, np.float64)
  if second_moment is None:
    second_moment = np.asarray(rounds.weight, np.float64) ** 2
  moment = np.asarray(second_moment, np.float64)
  if moment.shape != score.shape:
    raise InputError(f'second_moment is {list(moment.shape)} and reward {list(score.shape)}')
  wrong = ~(np.isfinite(moment) & (moment >= 0))
  if wrong.any():
    row = int(np.argmax(wrong))
    raise InputError(f'second_moment, row {row}: {moment[row]:g} is not a number from 0 on')
  before = np.concatenate([[1.0], np.cumsum(moment)[:-1] / np.arange(1, len(moment))])
  # Weights average 1, so their mean square is no less.
  h = 1 / np.sqrt(np.maximum(before, 1))
  value = h @ score / h.sum()
  return corrected_t(value + h * (score - value) / h.mean(), level=level)
