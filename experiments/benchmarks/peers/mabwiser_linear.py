"""MABWiser's LinTS and LinUCB."""

import numpy as np
import stream
from mabwiser.mab import MAB, LearningPolicy


def make(policy: str, num_arms: int, dim: int) -> stream.Learner:
  """The learner, as `stream.run` wants it."""
  rule = {'thompson': LearningPolicy.LinTS, 'ucb': LearningPolicy.LinUCB}[policy](alpha=1.0)
  learner = MAB(list(range(num_arms)), rule)
  # It wants to be fitted before it predicts.
  learner.fit([0], [0.0], [np.zeros(dim)])

  def choose(context: np.ndarray) -> int:
    return int(learner.predict(context[None]))

  def learn(arm: int, reward: float, context: np.ndarray) -> None:
    learner.partial_fit([arm], [reward], context[None])

  return choose, learn


stream.run(make)
