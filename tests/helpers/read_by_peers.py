"""What OBP and Vowpal Wabbit find in a file, as JSON; runs in `.venv-bench`, without rec_jax.

read_by_peers.py vw FILE            each round's examples, of .dsjson, .vw or .vw.csv
read_by_peers.py obp FILE POLICY    estimates, by action_dist and q_hat in POLICY
read_by_peers.py obp-write FILE     writes a synthetic feedback of OBP's own
"""

import csv
import json
import pathlib
import subprocess
import sys

import numpy as np

# Of the constant that Vowpal Wabbit adds to the features.
_CONSTANT = 11650396


def main():
  task, path, *more = sys.argv[1:]
  if task == 'vw':
    print(json.dumps((_of_csv if path.endswith('.csv') else _of_examples)(pathlib.Path(path))))
  elif task == 'obp':
    print(json.dumps(_estimates(path, *more)))
  else:
    _write(path)


def _of_examples(path):
  """A round -> its examples, as Vowpal Wabbit parses them."""
  import vowpalwabbit

  is_json = path.suffix == '.dsjson'
  workspace = vowpalwabbit.Workspace(f'--cb_adf --quiet{" --dsjson" if is_json else ""}')
  text = path.read_text()
  rounds = []
  for block in text.splitlines() if is_json else text.strip().split('\n\n'):
    examples = workspace.parse(block)
    rounds.append([_example(vowpalwabbit, example) for example in examples])
    workspace.finish_example(examples)
  return rounds


def _example(module, example):
  label = example.get_label(module.CBLabel)
  costs = [[cost.cost, cost.probability] for cost in label.costs if cost.probability > 0]
  return {
    'tag': example.get_tag(),
    'label': costs[0] if costs else None,
    'features': [value for index, value in example.iter_features() if index != _CONSTANT],
  }


def _of_csv(path):
  """A round -> its tag, label and features, as Vowpal Wabbit parses them.

  Its CSV parser reads files alone: of these it prints features and tags by `--audit`, of each of
  the three actions. Labels are parsed from their cells, as those of text are.
  """
  import vowpalwabbit

  run = (
    'import vowpalwabbit; '
    f'vowpalwabbit.Workspace("--csv --cb 3 -t --audit --noconstant --quiet -d {path}").finish()'
  )
  lines = subprocess.run(
    [sys.executable, '-c', run], check=True, capture_output=True, text=True
  ).stdout.splitlines()
  workspace = vowpalwabbit.Workspace('--cb 3 --quiet')
  rounds = []
  with path.open() as stream:
    for row, cells in enumerate(csv.DictReader(stream)):
      head, features = lines[6 * row : 6 * row + 2]
      costs = workspace.parse(f'{cells["_label"]} | a').get_label(vowpalwabbit.CBLabel).costs
      label = [[c.action, c.cost if c.probability else None, c.probability] for c in costs]
      rounds.append(
        [head.partition(' ')[2], label, [float(f.split(':')[2]) for f in features.split()]]
      )
  return rounds


def _estimates(path, policy):
  """Estimator -> value, by OBP's evaluation of the dictionary in a .npz."""
  from obp import ope

  with np.load(path) as archive:
    feedback = {name: archive[name] for name in archive.files}
  evaluation = ope.OffPolicyEvaluation(
    bandit_feedback=feedback,
    ope_estimators=[
      ope.InverseProbabilityWeighting(),
      ope.SelfNormalizedInverseProbabilityWeighting(),
      ope.DirectMethod(),
      ope.DoublyRobust(),
    ],
  )
  with np.load(policy) as given:
    return evaluation.estimate_policy_values(
      action_dist=given['action_dist'], estimated_rewards_by_reg_model=given['q_hat']
    )


def _write(path):
  from obp import dataset

  made = dataset.SyntheticBanditDataset(
    n_actions=4, dim_context=3, reward_function=dataset.logistic_reward_function, random_state=1
  )
  feedback = made.obtain_batch_bandit_feedback(n_rounds=200)
  np.savez(path, **{name: value for name, value in feedback.items() if value is not None})


if __name__ == '__main__':
  main()
