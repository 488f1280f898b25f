"""SLOPE: how much to clip, to switch or to shrink, from the log alone."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.special

from rec_jax.evaluation.off_policy.estimators import Rounds, Terms, influence


def slope(
  estimator: Callable[..., Terms],
  rounds: Rounds,
  lambdas: Sequence[float],
  *,
  delta: float = 0.05,
) -> float:
  """Chooses `lambda_` by Lepski's principle (Su et al. 2020b; Tucker & Lee 2021).

  Candidates are taken from the widest half width c to the narrowest, the less biased first; the
  last one is chosen that agrees with all before it: |v_i - v_j| <= c_i + (sqrt(6) - 1) c_j.

  The choice trades bias for variance, and an interval at the chosen one shows the variance alone.

  Args:
    estimator: takes `lambda_`, such as `ipw`, `dr`, `switch_dr`, `dr_os`, `sg_ipw`, `sg_dr`.
    rounds: from `match`.
    lambdas: candidates, not empty.
    delta: probability that a one-sided bound fails.

  Returns:
    One of the candidates.

  Raises:
    ValueError: if there is no candidate.
  """
  if len(lambdas) == 0:
    raise ValueError('expected at least one candidate lambda')
  values = np.stack(
    [np.asarray(influence(estimator(rounds, lambda_=lambda_)), np.float64) for lambda_ in lambdas]
  )
  n = values.shape[1]
  mean = values.mean(1)
  half = scipy.special.stdtrit(n - 1, 1 - delta) * values.std(1, ddof=1) / np.sqrt(n)
  order = np.argsort(-half, kind='stable')
  chosen = order[0]
  for place, i in enumerate(order):
    earlier = order[:place]
    apart = np.abs(mean[earlier] - mean[i]) > half[i] + (np.sqrt(6) - 1) * half[earlier]
    if apart.any():
      break
    chosen = i
  return float(lambdas[chosen])
