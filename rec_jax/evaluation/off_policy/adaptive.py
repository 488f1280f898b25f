"""Intervals from logs of a policy that learnt while it logged.

Propensities then depend on earlier rewards, and those of what has disappointed fall: a few late
rounds of large weight carry the estimate, whose error is not normal however long the log is.
Rounds weighted so that each adds alike to the variance bring that back (Hadad et al. 2021; with
contexts Zhan et al. 2021). NumPy, float64.
"""

import numpy as np

from rec_jax.evaluation.intervals import Estimate
from rec_jax.evaluation.off_policy.corrected_t import corrected_t
from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds, dr, reduce
from rec_jax.types import InputError


def adaptive(rounds: Rounds, estimator: Estimator = dr, *, level: float = 0.95) -> Estimate:
  """A policy's value by scores with weights that stabilise the variance.

  The estimate is sum h_t s_t / sum h_t of the scores s_t, what each round adds to an estimate, and
  its variance sum h_t^2 (s_t - estimate)^2 / (sum h_t)^2 (Hadad et al. 2021, equations 5 and 12).
  The weight h_t is 1 / sqrt of the mean of the second moments of the rounds before t, which
  constant allocation (section 3) asks of one arm. What is expected of rewards has to come from
  earlier rounds too, `reward_models.cross_fit(forward=True)`, or be zero.

  Args:
    rounds: [n] in the order of time. Where they hold no second moments, as the whole policy that
      logged is not known, the squared weights of the logged actions estimate these.
    estimator: whose scores these are; its setting may not come from the log.
    level: probability of covering, for many rounds.

  Returns:
    The estimate; its ends are NaN for self-normalised estimators, whose rounds add nothing by
    themselves.

  Raises:
    InputError: a second moment that is not finite, as the log never takes what the policy does.
  """
  terms = estimator(rounds)
  if not (np.asarray(terms.normaliser) == 1).all():
    return Estimate(float(reduce(terms)), np.nan, np.nan, len(rounds.weight))
  score = np.asarray(terms.direct, np.float64) + np.asarray(terms.correction, np.float64)
  known = rounds.second_moment
  moment = np.asarray(rounds.weight, np.float64) ** 2 if known is None else np.asarray(known)
  wrong = ~np.isfinite(moment)
  if wrong.any():
    raise InputError(
      f'row {int(np.argmax(wrong))}: the policy that logged never takes an action of the policy; '
      'take another interval'
    )
  before = np.concatenate([[1.0], np.cumsum(moment)[:-1] / np.arange(1, len(moment))])
  # Weights average 1, so their mean square is no less.
  h = 1 / np.sqrt(np.maximum(before, 1))
  value = h @ score / h.sum()
  return corrected_t(value + h * (score - value) / h.mean(), level=level)
