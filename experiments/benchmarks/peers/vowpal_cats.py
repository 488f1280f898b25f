"""Vowpal Wabbit's CATS on a stream of regressions: its mean reward over the last quarter."""

import json
import sys

import numpy as np
import vowpalwabbit

sizes = json.loads(sys.argv[1])
dim, num_rounds, noise, width = (sizes[name] for name in ('dim', 'num_rounds', 'noise', 'width'))
rng = np.random.default_rng(sizes['seed'])
queries = rng.normal(size=(num_rounds, dim)) / np.sqrt(dim)
best = 1 / (1 + np.exp(-queries @ (2 * rng.normal(size=dim))))
errors = noise * rng.normal(size=num_rounds)
learner = vowpalwabbit.Workspace(
  f'--cats {sizes["num_leaves"]} --bandwidth {sizes["bandwidth"]} --epsilon {sizes["epsilon"]} '
  f'--min_value 0 --max_value 1 --random_seed {sizes["seed"] + 1} --quiet'
)
expected = np.zeros(num_rounds)
for t in range(num_rounds):
  text = '| ' + ' '.join(f'x{i}:{x:.6g}' for i, x in enumerate(queries[t]))
  action, density = learner.predict(text)
  expected[t] = max(0.0, 1 - abs(action - best[t]) / width)
  loss = 1 - expected[t] - errors[t]
  learner.learn(f'ca {action:.6g}:{loss:.6g}:{density:.6g} {text}')
print(json.dumps(float(expected[-num_rounds // 4 :].mean())))
