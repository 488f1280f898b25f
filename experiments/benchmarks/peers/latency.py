"""One decision and one update at a time, by MABWiser's LinUCB or Vowpal Wabbit's SquareCB."""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

sizes = json.loads(sys.argv[1])
num_arms, dim, num_rounds = sizes['num_arms'], sizes['dim'], sizes['num_rounds']
rng = np.random.default_rng(0)
queries = rng.normal(size=(num_rounds, dim))
features = rng.normal(size=(num_arms, dim)) / np.sqrt(dim)


def mabwiser() -> tuple[Callable[[int], int], Callable[[int, int], None]]:
  """A regression an arm, on the query."""
  from mabwiser.mab import MAB, LearningPolicy

  learner = MAB(list(range(num_arms)), LearningPolicy.LinUCB(alpha=1.0))
  learner.fit([0], [0.0], [np.zeros(dim)])
  return (
    lambda t: int(learner.predict(queries[t : t + 1])),
    lambda t, arm: learner.partial_fit([arm], [1.0], queries[t : t + 1]),
  )


def vowpal() -> tuple[Callable[[int], int], Callable[[int, int], None]]:
  """A regression for all arms on their features, which are the same at each decision."""
  import vowpalwabbit

  learner = vowpalwabbit.Workspace('--cb_explore_adf --squarecb --noconstant --quiet')
  lines = ['|a ' + ' '.join(f'{i}:{x:.6g}' for i, x in enumerate(row)) for row in features]

  def learn(t: int, arm: int) -> None:
    learner.learn([*lines[:arm], f'0:-1:0.5 {lines[arm]}', *lines[arm + 1 :]])

  return lambda t: int(np.argmax(learner.predict(lines))), learn


choose, learn = {'mabwiser': mabwiser, 'vowpal': vowpal}[sizes['peer']]()
times = []
for t in range(num_rounds):
  start = time.perf_counter()
  arm = choose(t)
  chosen = time.perf_counter()
  learn(t, arm)
  times.append((chosen - start, time.perf_counter() - chosen))
print(json.dumps(np.quantile(times[num_rounds // 10 :], [0.5, 0.99], axis=0).tolist()))
