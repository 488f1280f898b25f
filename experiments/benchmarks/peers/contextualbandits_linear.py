"""contextualbandits' LinTS and LinUCB."""

import numpy as np
import stream
from contextualbandits.online import LinTS, LinUCB


def make(policy: str, num_arms: int, dim: int) -> stream.Learner:
  """The learner, as `stream.run` wants it."""
  del dim
  learner = {'thompson': LinTS, 'ucb': LinUCB}[policy](
    nchoices=num_arms, random_state=1, njobs=1, beta_prior=None
  )

  def choose(context: np.ndarray) -> int:
    return int(learner.predict(context[None])[0])

  def learn(arm: int, reward: float, context: np.ndarray) -> None:
    learner.partial_fit(context[None], np.array([arm]), np.array([reward]))

  return choose, learn


stream.run(make)
