"""What the peers' scripts share; they run in an environment of their own, without rec_jax."""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

Learner = tuple[Callable[[np.ndarray], int], Callable[[int, float, np.ndarray], None]]


def run(make: Callable[[str, int, int], Learner]) -> None:
  """Prints the decisions a second of a learner on a linear stream.

  Args:
    make: (policy, number of arms, dimension) -> (choose: context -> arm, learn: (arm, reward,
      context) -> None).
  """
  sizes = json.loads(sys.argv[1])
  num_arms, dim, num_rounds = sizes['num_arms'], sizes['dim'], sizes['num_rounds']
  rng = np.random.default_rng(0)
  contexts = rng.normal(size=(num_rounds, dim)) / np.sqrt(dim)
  expected = contexts @ rng.normal(size=(num_arms, dim)).T
  noise = rng.normal(size=num_rounds)
  choose, learn = make(sizes['policy'], num_arms, dim)
  start = time.perf_counter()
  for t in range(num_rounds):
    context = contexts[t]
    arm = choose(context)
    learn(arm, float(expected[t, arm] + noise[t]), context)
  print(json.dumps(num_rounds / (time.perf_counter() - start)))
