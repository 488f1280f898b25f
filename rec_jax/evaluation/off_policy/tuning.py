"""SLOPE: how much to clip, to switch or to shrink, from the log alone."""

import functools
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import scipy.special
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds, Terms, influence
from rec_jax.evaluation.off_policy.registry import ESTIMATORS, applicable

# How many quantiles of the weights above 1 are candidates.
NUM_CLIPS = 20
# Of these only the tuned version is shown; untuned they are `ipw` or `dr`.
ONLY_TUNED = frozenset({'switch_dr', 'dr_os', 'sg_ipw', 'sg_dr'})


def tuned(
  rounds: Rounds, has_model: bool, names: Collection[str] = tuple(ESTIMATORS)
) -> dict[str, Estimator]:
  """The estimators that apply, those with `lambda_` also at the value that SLOPE chooses.

  Args:
    rounds: from `match`.
    has_model: whether `q_hat` was given to it.
    names: of the estimators.

  Returns:
    Label -> estimator. The label of a tuned one holds the chosen `lambda_`.
  """
  grids = candidates(rounds.weight)
  table: dict[str, Estimator] = {}
  for name, estimator in applicable(rounds, has_model).items():
    if name not in names:
      continue
    if name not in ONLY_TUNED:
      table[name] = estimator
    if name in grids:
      lambda_ = slope(estimator, rounds, grids[name])
      table[f'{name}, lambda {lambda_:.3g}'] = functools.partial(estimator, lambda_=lambda_)
  return table


def candidates(weight: ArrayLike) -> dict[str, list[float]]:
  """Values of `lambda_` to choose from, by estimator, from the weights [n] of a log.

  Each list holds the value at which the estimator takes nothing of a weight, so that with more
  rounds the choice comes to what is unbiased.
  """
  weight = np.asarray(weight, np.float64)
  above = weight[weight > 1]
  clips = np.unique(np.quantile(above, np.linspace(0, 1, NUM_CLIPS))) if above.size else above
  grids = dict.fromkeys(('ipw', 'dr', 'switch_dr'), np.append(clips[:-1], np.inf).tolist())
  grids['dr_os'] = np.append(clips**2, np.inf).tolist()
  return grids | {name: [0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0] for name in ('sg_ipw', 'sg_dr')}


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
  added = (influence(estimator(rounds, lambda_=lambda_)) for lambda_ in lambdas)
  return float(lambdas[lepski(added, delta=delta)])


def lepski(values: Iterable[ArrayLike], *, delta: float = 0.05) -> int:
  """The candidate that `slope` takes, by what each round adds to the estimate of each.

  Args:
    values: [n] for each candidate, the narrower ones the more biased; read one after the other,
      for all candidates of a long log at once would not fit into memory.
    delta: probability that a one-sided bound fails.

  Returns:
    Its number; the first where one round says nothing of the spread.
  """
  moments = []
  for added in values:
    own = np.asarray(added, np.float64)
    if len(own) < 2:
      return 0
    moments.append((own.mean(), own.std(ddof=1), len(own)))
  mean, spread, (n, *_) = np.array(moments).T
  half = scipy.special.stdtrit(n - 1, 1 - delta) * spread / np.sqrt(n)
  order = np.argsort(-half, kind='stable')
  chosen = order[0]
  for place, i in enumerate(order):
    earlier = order[:place]
    apart = np.abs(mean[earlier] - mean[i]) > half[i] + (np.sqrt(6) - 1) * half[earlier]
    if apart.any():
      break
    chosen = i
  return int(chosen)
