"""Vowpal Wabbit's SquareCB on its own linear regression, with features of the actions."""

import json
import sys
import time

import numpy as np
import vowpalwabbit

sizes = json.loads(sys.argv[1])
num_arms, dim, num_rounds = sizes['num_arms'], sizes['dim'], sizes['num_rounds']
rng = np.random.default_rng(0)
features = rng.normal(size=(num_rounds, num_arms, dim)) / np.sqrt(dim)
expected = features @ rng.normal(size=dim)
noise, uniform = rng.normal(size=num_rounds), rng.random(num_rounds)
texts = [
  ['|a ' + ' '.join(f'{i}:{x:.6g}' for i, x in enumerate(row)) for row in rows] for rows in features
]
learner = vowpalwabbit.Workspace('--cb_explore_adf --squarecb --noconstant --quiet')
contexts = texts
if sizes['parsed']:
  kind = vowpalwabbit.LabelType.CONTEXTUAL_BANDIT
  contexts = [learner.parse('\n'.join(text), kind) for text in texts]

start = time.perf_counter()
for t in range(num_rounds):
  total = np.cumsum(learner.predict(contexts[t]))
  arm = min(int(np.searchsorted(total, uniform[t] * total[-1])), num_arms - 1)
  propensity = total[arm] - (total[arm - 1] if arm else 0)
  label = f'0:{-(expected[t, arm] + noise[t]):.6g}:{propensity:.6g}'
  if sizes['parsed']:
    contexts[t][arm].set_label_string(label)
  else:
    contexts[t][arm] = f'{label} {contexts[t][arm]}'
  learner.learn(contexts[t])
print(json.dumps(num_rounds / (time.perf_counter() - start)))
