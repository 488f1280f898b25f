"""The seam between models and bandits: item vectors to candidate features."""

import numpy as np


def candidate_features(
  item_vectors: np.ndarray, user_vectors: np.ndarray, mean_reward: np.ndarray, num_features: int
) -> np.ndarray:
  """Features whose linear functions vary as the model says that tastes vary.

  A linear belief with a standard normal prior over w puts on every item the deviation w·x. Its
  prior covariance, x x', should be that of the deviations between users. The model's logits u·M̂
  vary over users with covariance M̂ C M̂', C the covariance of the user vectors, so x is M̂ C^(1/2)
  in the directions where C is largest. A Bernoulli reward of mean p deviates in units of
  sqrt(p (1 - p)), so x is multiplied by it: nobody's taste makes an unpopular item a sure hit.

  Args:
    item_vectors: [N, D].
    user_vectors: [U, D], of users before the cut.
    mean_reward: [N] in (0, 1), what is expected of each item for an average user.
    num_features: F; directions beyond D are zeros.

  Returns:
    [N, F] float32 with a mean squared norm of 1 over the items.
  """
  covariance = np.atleast_2d(np.cov(user_vectors.astype(np.float64).T, bias=True))
  if np.trace(covariance) <= 1e-12 * np.mean(np.sum(user_vectors**2, axis=1)):
    # One user, or users who are all alike, do not tell which tastes differ.
    covariance = np.eye(len(covariance))
  variance, directions = np.linalg.eigh(covariance)
  leading = np.argsort(-variance)[:num_features]
  root = directions[:, leading] * np.sqrt(np.maximum(variance[leading], 0.0))
  features = item_vectors @ root * np.sqrt(mean_reward * (1.0 - mean_reward))[:, None]
  features /= np.sqrt(np.mean(np.sum(features**2, axis=1)))
  missing = max(0, num_features - features.shape[1])
  return np.pad(features, ((0, 0), (0, missing))).astype(np.float32)
