"""What each objective of learn_policy takes with a hundred thousand items without features."""

from experiments.benchmarks import many_actions
from experiments.benchmarks.many_actions import ManyActionsConfig
from rec_jax.runs.study import Study
from rec_jax.runs.study_results import Expected
from rec_jax.studies.logged.objectives import OBJECTIVES


def get_study() -> Study:
  """Each objective, in a process of its own, compilation included."""
  return Study(
    title='What does each objective take with a hundred thousand items?',
    protocol=(
      'uniform log of {config.num_rounds:,} rounds, K = {config.num_actions:,}, 5 columns of '
      'context, rewards 0 and 1; the first half teaches a softmax, the second judges it by all '
      'estimators with bootstrap intervals; each objective in a process of its own'
    ),
    config=ManyActionsConfig(command='learn', num_actions=100_000),
    variants={objective: {'objective': objective} for objective in OBJECTIVES},
    measure=many_actions.measure,
    expected={(objective, 'GiB'): Expected(0, 4) for objective in OBJECTIVES},
  )
