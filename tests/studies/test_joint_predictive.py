"""What is foreseen jointly tells a belief that knows its doubt from one that has none."""

import numpy as np
import pytest

from rec_jax.bandits.beliefs.beta_bernoulli import beta_bernoulli
from rec_jax.studies import joint_predictive
from rec_jax.studies.joint_predictive import JOINT, MARGINAL, REGRET, JointPredictiveConfig

CONFIG = JointPredictiveConfig(
  num_problems=150, num_arms=6, dim=3, num_rounds=6, num_sets=20, num_draws=200, regret_rounds=10
)


def certain():
  """The mean of `beta_bernoulli` and no doubt about it."""
  belief = beta_bernoulli()

  def sample(key, state, context, num_samples):
    return np.broadcast_to(1, (num_samples, 1)) * belief.predict(state, context)[0]

  return belief._replace(sample=sample, cdf=None)


@pytest.mark.soak
def test_doubt_counts_jointly_and_not_by_the_outcome():
  doubtful = joint_predictive.measure(beta_bernoulli, CONFIG)
  sure = joint_predictive.measure(certain, CONFIG)
  gain = sure[JOINT].value - doubtful[JOINT].value
  assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5
  assert doubtful[MARGINAL].value.mean() == pytest.approx(sure[MARGINAL].value.mean(), abs=0.02)
  assert len(doubtful[REGRET].value) == CONFIG.num_problems
