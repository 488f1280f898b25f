"""OBP's LinTS and LinUCB."""

import numpy as np
import stream
from obp.policy import LinTS, LinUCB


def make(policy: str, num_arms: int, dim: int) -> stream.Learner:
  """The learner, as `stream.run` wants it."""
  learner = {'thompson': LinTS, 'ucb': LinUCB}[policy](dim=dim, n_actions=num_arms, random_state=0)

  def choose(context: np.ndarray) -> int:
    return int(learner.select_action(context[None])[0])

  def learn(arm: int, reward: float, context: np.ndarray) -> None:
    learner.update_params(action=arm, reward=reward, context=context[None])

  return choose, learn


stream.run(make)
