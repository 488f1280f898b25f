"""The seam between models and bandits: item vectors to candidate features."""

import numpy as np


def candidate_features(
  item_vectors: np.ndarray, mean_reward: np.ndarray, num_features: int
) -> np.ndarray:
  """Features whose linear functions vary as the model says that tastes vary.

  A linear belief with a standard normal prior over w puts on every item the deviation w·x from what
  is expected of it. Tastes differ along the item vectors as they differ from their mean, so x is
  M̂ - mean(M̂) in its leading directions. A Bernoulli reward of mean p deviates in units of
  sqrt(p (1 - p)), so x is multiplied by it: nobody's taste makes an unpopular item a sure hit.

  Args:
    item_vectors: [N, D].
    mean_reward: [N] in (0, 1), what is expected of each item for an average user.
    num_features: F; directions beyond D are zeros.

  Returns:
    [N, F] float32 with a mean squared norm of 1 over the items; zeros where all items are alike.
  """
  centred = item_vectors.astype(np.float64) - item_vectors.mean(0, dtype=np.float64)
  scaled = centred * np.sqrt(mean_reward * (1.0 - mean_reward))[:, None]
  _, directions = np.linalg.eigh(scaled.T @ scaled)
  features = scaled @ directions[:, ::-1][:, :num_features]
  features /= max(np.sqrt(np.mean(np.sum(features**2, axis=1))), 1e-12)
  missing = max(0, num_features - features.shape[1])
  return np.pad(features, ((0, 0), (0, missing))).astype(np.float32)
