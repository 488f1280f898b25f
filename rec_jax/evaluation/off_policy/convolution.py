"""Weights of policies that are convolved with a kernel over similar actions (Sachdeva et al. 2024).

  w(x, a) = sum_b k(a, b) pi_e(b|x) / sum_b k(a, b) pi_b(b|x)

with k(a, b) = exp(-|f_a - f_b|² / 2 h²) of the features of actions. A bandwidth of 0 gives the
weights of IPW, unless two actions have the same features; an infinite one gives 1, so that the
estimate is the mean reward of the log. In between bias is traded for variance.

Shape letters: n rounds, K actions, A action features.
"""

from collections.abc import Sequence

import numpy as np
import scipy.spatial.distance

from rec_jax.evaluation.off_policy.two_policies import TwoPolicies, chunks, ratio

# Bandwidths between the distance of neighbours and that of any two actions.
NUM_BANDWIDTHS = 8
# So many actions tell how far they are apart.
_SAMPLE = 500
# Squared distances below this share of the squared norms are rounding.
_ROUNDING = 1e-12


def bandwidths(features: np.ndarray) -> list[float]:
  """Bandwidths to choose from, with 0, which is unbiased, and infinity, which has no weights.

  Args:
    features: [K, A].
  """
  step = -(-len(features) // _SAMPLE)
  apart = scipy.spatial.distance.pdist(np.asarray(features, np.float64)[::step])
  apart = apart[apart > 0]
  if apart.size == 0:
    return [0.0, np.inf]
  grid = np.geomspace(apart.min() / 2, 2 * apart.max(), NUM_BANDWIDTHS)
  return [0.0, *grid.tolist(), np.inf]


def convolved_weights(
  policies: TwoPolicies, features: np.ndarray, widths: Sequence[float]
) -> np.ndarray:
  """Weights by convolved policies.

  Args:
    policies: of n rounds.
    features: [K, A], of comparable scales.
    widths: bandwidths h in [0, inf], in the unit of the features.

  Returns:
    [widths, n].
  """
  features = np.asarray(features, np.float64)
  norm = (features**2).sum(1)
  found = np.empty((len(widths), len(policies.action)))
  # Rounds of one action stand together, so that a chunk needs few rows of the kernel.
  for chunk in chunks(policies, np.argsort(policies.action, kind='stable')):
    logged, place = np.unique(policies.action[chunk.rows], return_inverse=True)
    square = norm[logged][:, None] + norm - 2 * features[logged] @ features.T
    square[square <= _ROUNDING * (norm[logged][:, None] + norm)] = 0
    for width, weight in zip(widths, found, strict=True):
      kernel = np.exp(-square / (2 * width**2)) if width > 0 else (square == 0).astype(float)
      weight[chunk.rows] = ratio(chunk, kernel[place[:, None], chunk.offered])
  return found
