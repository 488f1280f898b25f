"""What do policies learnt from a log earn more than the one that logged?"""

from rec_jax.runs.study import Study
from rec_jax.studies import learning_gains
from rec_jax.studies.learning_gains import LearningGainsConfig
from rec_jax.studies.logged.objectives import OBJECTIVES


def get_study() -> Study:
  """The policy that logged, and one learnt by each objective of `learn_policy`."""
  return Study(
    title='What do policies learnt from a log earn more than the one that logged?',
    protocol=(
      'synthetic worlds, 5 features, 10 actions, rewards 0 and 1; learnt from 2,000 rounds of a '
      'policy that is half right, exact values in 2,000 others; a slate has as many draws as top_k '
      'takes; the unit is the world'
    ),
    config=LearningGainsConfig(),
    variants={'policy that logged': {}} | {name: {'objective': name} for name in OBJECTIVES},
    baseline='policy that logged',
    seeds=range(20),
    measure=learning_gains.measure,
  )
