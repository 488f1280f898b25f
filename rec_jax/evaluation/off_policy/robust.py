"""Reward models that serve the doubly robust estimator of one policy."""

import numpy as np


def robust_weight(weight: np.ndarray, pscore: np.ndarray) -> np.ndarray:
  """Weights of the rows of a fit that makes the variance of `dr` least, not the model's error.

  "More robust" (MRDR): for `reward_models.cross_fitted(weight=...)`.

  Given a context, that variance is the mean under the logging policy p of w^2 (1 - p) (r - q)^2,
  and terms that q does not change, for a policy that always takes one action (Farajtabar, Chow &
  Ghavamzadeh, ICML 2018); for others too where the model errs independently between
  the actions.

  Args:
    weight: [n] importance weights w of the evaluated policy.
    pscore: [n] probability p of the logged actions.

  Returns:
    [n] of mean 1 unless all are 0, so that a penalty keeps its meaning.
  """
  found = np.square(weight) * (1 - pscore)
  return found / max(found.mean(), np.finfo(np.float64).tiny)
