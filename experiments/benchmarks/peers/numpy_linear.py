"""Linear Thompson sampling and LinUCB as one would write them well in NumPy.

Sherman-Morrison on the covariances; arms are independent, so a draw is one number an arm; what the
decision computed is not computed again by the update.
"""

import numpy as np
import stream


def make(policy: str, num_arms: int, dim: int) -> stream.Learner:
  """The learner, as `stream.run` wants it."""
  rng = np.random.default_rng(0)
  covariance = np.tile(np.eye(dim), (num_arms, 1, 1))
  mean = np.zeros((num_arms, dim))
  last = np.zeros((num_arms, dim))
  draw = rng.standard_normal if policy == 'thompson' else np.ones

  def choose(context: np.ndarray) -> int:
    np.matmul(covariance, context, out=last)
    deviation = np.sqrt(last @ context)
    return int(np.argmax(mean @ context + deviation * draw(num_arms)))

  def learn(arm: int, reward: float, context: np.ndarray) -> None:
    direction = last[arm]
    gain = direction / (1 + direction @ context)
    mean[arm] += gain * (reward - mean[arm] @ context)
    covariance[arm] -= np.multiply.outer(gain, direction)

  return choose, learn


stream.run(make)
