"""Policies over numbers, such as doses or prices, by kernels (Kallus & Zhou 2018).

A deterministic policy never takes the logged action exactly, so a round counts by how near it is:

  weight = K((dose - action) / h) / (h f(action | x))

with which `ipw` is their kernel IPS, `snipw` its self-normalised version and `dr` their DR. The
bias grows as h², the variance as 1 / (n h). Near an end of what the log takes, a part of the kernel
has no rounds: weights then average to less than 1, which those that are self-normalised mend.

Shape letters: n rounds, D context features.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rec_jax.evaluation.off_policy.estimators import Estimator, Rounds, influence
from rec_jax.evaluation.off_policy.overlap import LEAST_CUT
from rec_jax.evaluation.off_policy.tuning import lepski
from rec_jax.types import InputError

KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'epanechnikov': lambda u: 0.75 * np.maximum(1 - u**2, 0),
  'gaussian': lambda u: np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi),
}
# Bandwidths from the range of the actions down, until fewer rounds than these are near.
LEAST_NEAR = 30
_STEP = np.sqrt(0.5)
_MOST_STEPS = 60


def near(
  reward: ArrayLike,
  action: ArrayLike,
  density: ArrayLike,
  dose: ArrayLike,
  bandwidth: float,
  *,
  kernel: str = 'epanechnikov',
  q_logged: ArrayLike | None = None,
  q_target: ArrayLike | None = None,
) -> Rounds:
  """A log as a deterministic policy sees it, for the estimators.

  Args:
    reward: [n].
    action: [n] what was done.
    density: [n] with which it was, above 0, in the inverse unit of the action.
    dose: [n] what the policy does.
    bandwidth: h > 0, in the unit of the action.
    kernel: one of `KERNELS`.
    q_logged: [n] reward that a model expects of the action; 0 if not given.
    q_target: [n] likewise of the dose.

  Returns:
    [n] float64, of which `target` is the kernel, with an integral of 1 over actions.

  Raises:
    InputError: an unknown kernel, or a bandwidth that is not positive.
  """
  if kernel not in KERNELS:
    raise InputError(f'kernel "{kernel}" is unknown; choose {", ".join(KERNELS)}')
  if not 0 < bandwidth < np.inf:
    raise InputError(f'bandwidth: {bandwidth:g} is not positive and finite')
  share = KERNELS[kernel]((np.asarray(dose) - np.asarray(action)) / bandwidth) / bandwidth
  zeros = np.zeros(len(share))
  columns = (
    np.asarray(reward, np.float64),
    share / np.asarray(density),
    share,
    zeros if q_logged is None else q_logged,
    zeros if q_target is None else q_target,
  )
  with jax.enable_x64():
    return Rounds(*(jnp.asarray(column, jnp.float64) for column in columns))


def bandwidths(action: ArrayLike, dose: ArrayLike) -> list[float]:
  """Bandwidths to choose from, the narrowest first, from actions and doses [n].

  From the range of the actions down by factors of sqrt(2), as long as 30 rounds are within one.
  """
  apart = np.abs(np.asarray(dose, np.float64) - np.asarray(action, np.float64))
  widest = float(np.ptp(np.asarray(action, np.float64)))
  if widest == 0:
    # A log of one action has no unit of its own.
    return [1.0]
  grid = widest * _STEP ** np.arange(_MOST_STEPS)
  # At its edge a kernel is 0, but for rounding.
  inside = grid * (1 - 1e-9)
  enough = np.searchsorted(np.sort(apart), inside) >= min(LEAST_NEAR, len(apart))
  num_enough = max(1, int(np.argmin(enough)) if not enough.all() else len(grid))
  return grid[:num_enough][::-1].tolist()


def undersmoothed(action: ArrayLike, dose: ArrayLike) -> float:
  """The narrowest of `bandwidths` within which n^(2/3) of the rounds [n] are: intervals hold there.

  It falls as n^(-1/3): the bias then falls as n^(-2/3), faster than the width of an interval, which
  does as n^(-1/3). At the bandwidth of least squared error, n^(-1/5), neither outlives the other.
  """
  apart = np.sort(np.abs(np.asarray(dose, np.float64) - np.asarray(action, np.float64)))
  grid = bandwidths(action, dose)
  # At its edge a kernel is 0.
  enough = np.searchsorted(apart, np.array(grid) * (1 - 1e-9)) >= len(apart) ** (2 / 3)
  return grid[int(np.argmax(enough))] if enough.any() else grid[-1]


def beyond(action: ArrayLike, dose: ArrayLike, bandwidth: float) -> str:
  """A complaint where a share of the Epanechnikov kernel is beyond what the log takes, else empty.

  Args:
    action: [n].
    dose: [n].
    bandwidth: h > 0.
  """
  action, dose = np.asarray(action, np.float64), np.asarray(dose, np.float64)
  below, above = (np.clip((end - dose) / bandwidth, -1, 1) for end in (action.min(), action.max()))
  # Its integral is (2 + 3 u - u³) / 4.
  inside = (3 * above - above**3 - 3 * below + below**3) / 4
  share = float(1 - inside.mean())
  if share < LEAST_CUT:
    return ''
  return (
    f'{share:.0%} of the kernel is beyond what the log takes: the interval leaves out the bias of '
    'that'
  )


def slope(
  estimator: Estimator,
  reward: ArrayLike,
  action: ArrayLike,
  density: ArrayLike,
  dose: ArrayLike,
  *,
  kernel: str = 'epanechnikov',
  q_logged: ArrayLike | None = None,
  q_target: ArrayLike | None = None,
) -> float:
  """The bandwidth that SLOPE chooses for an estimator (Su et al. 2020b), as `tuning.slope` does.

  Arguments as in `near`.
  """
  grid = bandwidths(action, dose)
  found, kept = [], []
  for width in grid:
    rounds = near(
      reward, action, density, dose, width, kernel=kernel, q_logged=q_logged, q_target=q_target
    )
    with jax.enable_x64():
      values = np.asarray(influence(estimator(rounds)))
    # A self-normalised estimate does not exist where no round is near.
    if np.isfinite(values).all():
      found.append(values)
      kept.append(width)
  return kept[lepski(np.stack(found))] if found else grid[-1]


def expected_rewards(
  reward: np.ndarray, action: np.ndarray, dose: np.ndarray, context: np.ndarray, fold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """What ridge regressions on (x, a, a², a x) expect, of folds that lack the round.

  Args:
    reward: [n].
    action: [n].
    dose: [n].
    context: [n, D], of scale 1.
    fold: [n] int from 0, at least two.

  Returns:
    [n] of the action and of the dose.
  """
  centre, spread = action.mean(), action.std() or 1.0

  def design(value: np.ndarray) -> np.ndarray:
    a = ((value - centre) / spread)[:, None]
    return np.concatenate([context, a, a**2, a * context, np.ones_like(a)], axis=1)

  logged, target = design(action), design(dose)
  penalty = np.diag(np.append(np.ones(logged.shape[1] - 1), 1e-9))
  found = np.empty((2, len(reward)))
  for each in range(int(fold.max()) + 1):
    train, rows = logged[fold != each], fold == each
    params = np.linalg.solve(train.T @ train + penalty, train.T @ reward[fold != each])
    found[:, rows] = logged[rows] @ params, target[rows] @ params
  return found[0], found[1]
