"""Which beliefs foresee several outcomes at once, and does Thompson sampling gain by it?"""

from pathlib import Path

from experiments.benchmarks.compile import BELIEFS
from rec_jax.runs.study import Study, Values
from rec_jax.studies import joint_predictive
from rec_jax.studies.joint_predictive import TAU, JointPredictiveConfig

# They learn nothing and score a query by features as wide as it is.
_NEED_TOWERS = ('two_tower',)


def get_study() -> Study:
  """Every belief that needs no other one, with its defaults."""
  return Study(
    title='What beliefs foresee jointly, and the regret of Thompson sampling with them',
    protocol=(
      '{config.num_problems} problems of {config.num_arms} fixed arms with {config.dim} features, '
      'one of them constant, rewards of 0 and 1, logistic in them; KL divergence from the truth, '
      f'in nats, of the predictive of one and of {TAU} outcomes of two arms (dyadic sampling) '
      'after {config.num_rounds} rounds of uniform choice; regret after {config.regret_rounds:,} '
      'rounds; defaults everywhere; the unit is the problem'
    ),
    config=JointPredictiveConfig(),
    variants={name: {'belief': name} for name in BELIEFS if name not in _NEED_TOWERS},
    measure=measure,
  )


def measure(config: JointPredictiveConfig, workdir: Path) -> dict[str, Values]:
  """Of one belief."""
  del workdir
  return joint_predictive.measure(BELIEFS[config.belief], config)
