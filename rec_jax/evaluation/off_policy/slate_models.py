"""The model of cascade DR: what the rest of a slate earns, from the last position to the first.

Shape letters: n slates, L positions, K actions, D context features, A action features, J folds.
"""

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike


def cascade_q(
  context: ArrayLike,
  action_context: ArrayLike,
  action: ArrayLike,
  reward: ArrayLike,
  action_dist: ArrayLike,
  fold: ArrayLike,
  *,
  lambda_: float = 1.0,
) -> np.ndarray:
  """`q_hat` of `slate.cascade_dr`, each slate by the models of the folds that lack it.

  Kiyohara et al. (2022), section 3.1: at the last position a model of its reward; at one above,
  of its reward and of what the model below expects of the evaluated policy. The models are ridge
  regressions on the context, the item's features and the sum of the features of those above it.

  Args:
    context: [n, D].
    action_context: [K, A].
    action: [n, L] int in [0, K), -1 behind the end of a shorter slate.
    reward: [n, L], 0 there.
    action_dist: [n, L, K] evaluated policy given the logged items above.
    fold: [n] int from 0, at least two.
    lambda_: penalty on all but the intercept.

  Returns:
    [n, L, K].

  Raises:
    ValueError: there are fewer than two folds.
  """
  context, features = np.asarray(context, np.float64), np.asarray(action_context, np.float64)
  action, reward, fold = np.asarray(action), np.asarray(reward, np.float64), np.asarray(fold)
  action_dist = np.asarray(action_dist)
  if fold.max() < 1:
    raise ValueError('expected at least two folds, so that no slate judges itself')
  num_slates, num_positions = action.shape
  held = action >= 0
  q_hat = np.zeros((num_slates, num_positions, len(features)))
  below = np.zeros((fold.max() + 1, num_slates))
  above = _summed(features, action)
  for place in reversed(range(num_positions)):
    shown = np.where(held[:, place, None], features[action[:, place]], 0)
    above -= shown
    base = np.concatenate([context, above], axis=1)
    inputs = np.concatenate([shown, base, np.ones((num_slates, 1))], axis=1)
    width = features.shape[1]
    for f in range(fold.max() + 1):
      taught = (fold != f) & held[:, place]
      params = _ridge(inputs[taught], (reward[:, place] + below[f])[taught], lambda_)
      expected = (base @ params[width:-1] + params[-1])[:, None] + features @ params[:width]
      expected = np.where(held[:, place, None], expected, 0)
      q_hat[fold == f, place] = expected[fold == f]
      below[f] = (action_dist[:, place] * expected).sum(1)
  return q_hat


def _summed(features: np.ndarray, action: np.ndarray) -> np.ndarray:
  """[n, A] sums over positions, one after the other: [n, L, A] would be large."""
  total = np.zeros((len(action), features.shape[1]))
  for column in action.T:
    total += np.where(column[:, None] >= 0, features[column], 0)
  return total


def _ridge(inputs: np.ndarray, reward: np.ndarray, lambda_: float) -> np.ndarray:
  """[F] parameters, of which the last, the intercept, is not penalised."""
  # Of no rows at all everything is expected to be 0.
  penalty = np.append(np.full(inputs.shape[1] - 1, lambda_), np.finfo(np.float64).eps)
  gram = inputs.T @ inputs + np.diag(penalty)
  return scipy.linalg.solve(gram, inputs.T @ reward, assume_a='pos')
