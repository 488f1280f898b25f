"""How likely each logged action was, where the log does not say, by cross-fitting on the host.

Two losses fit one model, p_a(x) = softmax of log base_a + w_a . (1, x) over what was offered:

- `estimated`: the likelihood of the logged actions;
- `balanced`: that of a classifier which tells the actions of the evaluated policy from the logged
  ones (Sondhi, Arbour & Dimmery 2020). Its odds, pi_e(a|x) / p_a(x), are the importance weights,
  and it takes most care of p where the policy chooses.

The base holds frequencies with a Dirichlet prior, the slopes have a normal prior, and both priors
follow from the log. Models of a round have not seen it, see `reward_models.folds`.

Shape letters: n rounds, K actions, C candidates of a round, F columns of the context.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.optimize

from rec_jax.evaluation.off_policy.choices import (
  Choices,
  Misfit,
  by_action,
  counted,
  misfit,
  no_counts,
)

# Scores of all candidates of some rounds, which stay in the cache of a processor.
CHUNK_SCORES = 1 << 20
MOST_STEPS = 50
# Of the log-likelihood, for each parameter, whose noise alone costs half a unit.
STOP = 1e-3
# Directions of the context whose variance is below this share of the largest one are no columns.
_LEAST_VARIANCE = 1e-8
# An action says how far slopes spread if it was to be expected as often as this.
_LEAST_EXPECTED = 1.0


class _Fitted(NamedTuple):
  """Scores of some rounds: base [K] + slopes [K, 1 + F] of ones and columns of the context.

  The slopes are known with some variance [K, 1 + F], by the curvature at the maximum (Laplace).

  The choices hold these columns [n, 1 + F], float32, in place of their context.
  """

  choices: Choices
  rows: np.ndarray
  base: np.ndarray
  slopes: np.ndarray
  variance: np.ndarray


# (scores [m, C], place [m] of the logged action, rows [m], whether to give the last two) -> loss,
# its derivative in the scores, the expected second derivative, the variance of the first.
Loss = Callable[[np.ndarray, np.ndarray, np.ndarray, bool], tuple[float, list[np.ndarray]]]


def estimated(choices: Choices, fold: np.ndarray) -> tuple[np.ndarray, Misfit | None]:
  """The propensity of each logged action, by the most likely models of the other folds.

  Args:
    choices: of n rounds.
    fold: [n] int from 0, at least two.

  Returns:
    [n] in (0, 1]; and where these models are wrong for sure, None if nothing says so.
  """
  found, counts = np.empty(len(fold)), no_counts(choices)
  for rows, place, chance in _predicted(choices, fold, _multinomial):
    found[rows] = chance[np.arange(len(rows)), place]
    counts = counted(counts, choices, rows, place, chance)
  return found, misfit(counts)


def balanced(choices: Choices, fold: np.ndarray, policy: np.ndarray) -> np.ndarray:
  """[n] likewise, by the models that best tell a policy's choices from the logged ones.

  Args:
    choices: of n rounds.
    fold: [n] int from 0, at least two.
    policy: [n, C] probabilities of the candidates.
  """
  found = np.empty(len(fold))
  for rows, place, chance in _predicted(choices, fold, _classifier(policy)):
    found[rows] = chance[np.arange(len(rows)), place]
  return found


def frequencies(choices: Choices, rows: np.ndarray) -> np.ndarray:
  """[K] how often each action is chosen for once that uniform choices would, smoothed.

  The Dirichlet prior is uniform, and worth as many rounds as make each round most likely given all
  others (Ney, Essen & Kneser 1995), at least one.
  """
  num_rounds = len(rows)
  count = np.bincount(choices.action[rows], minlength=choices.num_actions)
  if choices.candidates is None:
    expected = np.full(choices.num_actions, num_rounds / choices.num_actions)
  else:
    offered = choices.candidates[rows]
    held = offered >= 0
    share = np.broadcast_to(1 / held.sum(1, keepdims=True), held.shape)
    expected = np.bincount(offered[held], share[held], minlength=choices.num_actions)
  seen = count > 0

  def loss(log_prior: float) -> float:
    prior = np.exp(log_prior) / num_rounds
    left = count[seen] - 1 + prior * expected[seen]
    return -float(count[seen] @ np.log(left / (num_rounds * (1 + prior) - 1)))

  # Up to what leaves nothing of the log.
  bounds = (0.0, np.log(1e3 * num_rounds))
  prior = np.exp(scipy.optimize.minimize_scalar(loss, bounds=bounds, method='bounded').x)
  ratio = np.ones(choices.num_actions)
  known = expected > 0
  ratio[known] = (count[known] / expected[known] * num_rounds + prior) / (num_rounds + prior)
  return ratio


def _predicted(
  choices: Choices, fold: np.ndarray, loss: Loss
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """(rows [m], place of their logged action, chances [m, C] by the other folds) of all rounds."""
  for each in range(int(fold.max()) + 1):
    fitted = _fit(choices, np.flatnonzero(fold != each), loss)
    for rows, place, scores in _chunks(fitted._replace(rows=np.flatnonzero(fold == each)), True):
      yield rows, place, _softmax(scores)


def _fit(choices: Choices, rows: np.ndarray, loss: Loss) -> _Fitted:
  """The most likely scores under a normal prior, whose variance is one a column of the context."""
  inputs = _inputs(choices.context, rows)
  base = np.log(frequencies(choices, rows))
  if choices.candidates is None:
    base -= np.log(choices.num_actions)
  slopes = np.zeros((len(base), inputs.shape[1]), np.float32)
  known = choices._replace(context=inputs)
  fitted = _Fitted(known, rows, base.astype(np.float32), slopes, np.zeros_like(slopes))
  first, gradient, curvature, spread = _sums(fitted, loss, moments=True)
  variance = _prior(gradient, curvature, spread)
  used = np.flatnonzero(variance > 0)
  if used.size == 0:
    return fitted
  precision = 1 / variance[used]
  # Steps by the curvature at the start: all parameters are then about as well known.
  scale = 1 / np.sqrt(curvature[:, used] + precision)
  least_gain = STOP * scale.size / max(first, 1.0)

  def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
    params = flat.reshape(scale.shape) * scale
    slopes[:, used] = params
    value, gradient = _sums(fitted, loss)[:2]
    total = value + float((params**2 @ precision).sum()) / 2
    return total, ((gradient[:, used] + params * precision) * scale).ravel()

  found = scipy.optimize.minimize(
    objective,
    np.zeros(scale.size),
    jac=True,
    method='L-BFGS-B',
    options={'maxiter': MOST_STEPS, 'ftol': least_gain, 'gtol': 0},
  )
  slopes[:, used] = found.x.reshape(scale.shape) * scale
  curvature = _sums(fitted, loss, moments=True)[2][:, used]
  fitted.variance[:, used] = 1 / (np.maximum(curvature, 0) + precision)
  return fitted


def _inputs(context: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """[n, 1 + G] ones, and columns that span the context, without correlation in some rows."""
  ones = np.ones((len(context), 1), np.float32)
  if context.shape[1] == 0:
    return ones
  given = context[rows]
  centre, spread = given.mean(0), given.std(0)
  # Such columns are constant but for rounding.
  spread[spread <= 1e-12 * np.abs(given).max(0)] = np.inf
  unit = (context - centre) / spread
  value, vector = np.linalg.eigh(unit[rows].T @ unit[rows] / len(rows))
  kept = value > _LEAST_VARIANCE * value.max()
  if not value.max() > 0:
    return ones
  return np.c_[ones, unit @ (vector[:, kept] / np.sqrt(value[kept]))].astype(np.float32)


def _prior(gradient: np.ndarray, curvature: np.ndarray, spread: np.ndarray) -> np.ndarray:
  """[1 + F] variance of the slopes of each column, by the method of moments at slopes of 0.

  A gradient has variance `spread` by chance, and curvature^2 more for each unit of variance of the
  slopes. Frequencies leave little to the intercepts, but these have to make up for what slopes add
  to the sum over actions.
  """
  told = curvature >= _LEAST_EXPECTED
  share = np.where(told, curvature, 1)
  excess = np.where(told, (gradient**2 - spread) / share, 0).sum(0)
  variance = np.maximum(excess, 0) / np.maximum(np.where(told, share, 0).sum(0), 1)
  variance[0] += variance[1:].sum()
  return variance


def _sums(
  fitted: _Fitted, loss: Loss, moments: bool = False
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
  """The loss of the rows; its gradient and, if asked for, curvature and spread, [K, 1 + F] each."""
  total, sums = 0.0, [np.zeros(fitted.slopes.shape) for _ in range(3)]
  for rows, place, scores in _chunks(fitted):
    value, parts = loss(scores, place, rows, moments)
    total += value
    columns = fitted.choices.context[rows]
    for into, part, power in zip(sums, parts, (columns, columns**2, columns**2), strict=False):
      into += by_action(fitted.choices, rows, part, power)
  return total, sums[0], sums[1], sums[2]


def _chunks(
  fitted: _Fitted, unsure: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """(rows [m], place of the logged action, scores [m, C]) until all rows are through.

  Of what is unsure, scores are the logarithms of mean exponentials, that of a normal law being half
  of its variance above its centre: without it what is rare would seem still rarer, and weights
  would average more than 1.
  """
  choices, base, slopes = fitted.choices, fitted.base, fitted.slopes
  width = choices.num_actions if choices.candidates is None else choices.candidates.shape[1]
  size = max(1, CHUNK_SCORES // width)
  for start in range(0, len(fitted.rows), size):
    rows = fitted.rows[start : start + size]
    columns, action = choices.context[rows], choices.action[rows]
    if choices.candidates is None:
      scores = columns @ slopes.T + base
      if unsure:
        scores += columns**2 @ fitted.variance.T / 2
      yield rows, action, scores
      continue
    offered = choices.candidates[rows]
    scores = np.einsum('mf,mcf->mc', columns, slopes[offered]) + base[offered]
    if unsure:
      scores += np.einsum('mf,mcf->mc', columns**2, fitted.variance[offered]) / 2
    scores[offered < 0] = -np.inf
    yield rows, np.argmax(offered == action[:, None], axis=1), scores


def _multinomial(
  scores: np.ndarray, place: np.ndarray, rows: np.ndarray, moments: bool
) -> tuple[float, list[np.ndarray]]:
  chance, chosen = _softmax(scores), (np.arange(len(rows)), place)
  value = -float(np.log(np.maximum(chance[chosen], 1e-30)).sum(dtype=np.float64))
  spread = [chance * (1 - chance)] * 2 if moments else []
  chance[chosen] -= 1
  return value, [chance, *spread]


def _classifier(policy: np.ndarray) -> Loss:
  """Cross-entropy of the policy's actions, by their probabilities, against the logged ones."""

  def loss(
    scores: np.ndarray, place: np.ndarray, rows: np.ndarray, moments: bool
  ) -> tuple[float, list[np.ndarray]]:
    chance, chosen = _softmax(scores), (np.arange(len(rows)), place)
    target = policy[rows].astype(np.float32)
    # The chance that a choice like this one is the policy's; 0 where that never makes it.
    share = target / np.maximum(chance + target, 1e-30)
    value = -float((target * np.log(np.maximum(share, 1e-30))).sum(dtype=np.float64))
    value -= float(np.log(np.maximum(1 - share[chosen], 1e-30)).sum(dtype=np.float64))
    gradient = share * chance
    spread = []
    if moments:
      first, second = (gradient.sum(1, keepdims=True), (share * gradient).sum(1, keepdims=True))
      curvature = gradient * (1 - 2 * chance) + chance**2 * first
      mean = gradient - chance * first
      spread = [
        curvature,
        share * gradient * (1 - 2 * chance) + chance**2 * second - mean**2,
      ]
    gradient[chosen] -= share[chosen]
    # Through the softmax.
    return value, [gradient - chance * gradient.sum(1, keepdims=True), *spread]

  return loss


def _softmax(scores: np.ndarray) -> np.ndarray:
  """In place, over the last axis."""
  scores -= scores.max(1, keepdims=True)
  np.exp(scores, out=scores)
  scores /= scores.sum(1, keepdims=True)
  return scores
