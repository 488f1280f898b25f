"""OBP's bootstrap intervals of seven estimators."""

import json
import sys
import time

import numpy as np
from obp import ope

sizes = json.loads(sys.argv[1])
num_rounds, num_actions = sizes['num_rounds'], sizes['num_actions']
rng = np.random.default_rng(0)
behaviour, target = rng.dirichlet(np.ones(num_actions), (2, num_rounds))
action = (behaviour.cumsum(1) > rng.random((num_rounds, 1))).argmax(1)
feedback = {
  'n_rounds': num_rounds,
  'n_actions': num_actions,
  'context': rng.random((num_rounds, 1)),
  'action': action,
  'position': None,
  'reward': rng.integers(2, size=num_rounds).astype(float),
  'pscore': behaviour[np.arange(num_rounds), action],
}
evaluation = ope.OffPolicyEvaluation(
  bandit_feedback=feedback,
  ope_estimators=[
    ope.DirectMethod(),
    ope.InverseProbabilityWeighting(),
    ope.SelfNormalizedInverseProbabilityWeighting(),
    ope.DoublyRobust(),
    ope.SelfNormalizedDoublyRobust(),
    ope.SwitchDoublyRobust(lambda_=10.0),
    ope.DoublyRobustWithShrinkage(lambda_=100.0),
  ],
)
q_hat = rng.random((num_rounds, num_actions, 1))
start = time.perf_counter()
evaluation.estimate_intervals(
  action_dist=target[..., None],
  estimated_rewards_by_reg_model=q_hat,
  n_bootstrap_samples=sizes['num_resamples'],
  random_state=0,
)
print(json.dumps(sizes['num_resamples'] / (time.perf_counter() - start)))
