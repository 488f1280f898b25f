"""Values a policy on a log: --log=FILE --policy=NAME|CHECKPOINT."""

import pathlib

from absl import flags

from experiments import launch

_LOG = flags.DEFINE_string('log', None, 'Parquet, .csv, .npz, .dsjson, .vw, .vw.csv', required=True)
_POLICY = flags.DEFINE_string(
  'policy', None, 'a name, checkpoint, item:ID, column:NAME, see docs/off_policy.md', required=True
)
_AGAINST = flags.DEFINE_string('against', 'logged', 'another one, in place of which it is')
_SHARE = flags.DEFINE_float('train_share', 0.5, 'first part of the log, which the policy learns')
_SEED = flags.DEFINE_integer('seed', 0, 'of the policy, the folds and the bootstrap')
_ESTIMATORS = flags.DEFINE_list('estimators', [], 'names, all that apply if none is given')
_INTERVAL = flags.DEFINE_string('interval', 'bootstrap', 'bootstrap, t, likelihood or adaptive')
_PROPENSITIES = flags.DEFINE_string('propensities', 'logged', 'or estimated, or balanced')
_MODEL = flags.DEFINE_string('model', 'plain', 'of the reward, or mrdr, for this policy alone')
_LEVEL = flags.DEFINE_float('level', 0.95, 'of the intervals, in (0, 1)')
_OUT = flags.DEFINE_string('out', None, 'JSON file that gets the rows of the table')
_FIGURE = flags.DEFINE_string('figure', 'policy_value.svg', 'where the figure goes')


def main() -> None:
  """Prints the table and the advice, and writes the figure."""
  from rec_jax.evaluation.off_policy.registry import ESTIMATORS
  from rec_jax.studies.logged import dose_value
  from rec_jax.studies.logged.evaluation import Reading

  figure, out = pathlib.Path(_FIGURE.value), pathlib.Path(_OUT.value) if _OUT.value else None
  names = _ESTIMATORS.value or tuple(ESTIMATORS)
  how = _INTERVAL.value, _LEVEL.value, _PROPENSITIES.value
  reading = Reading(names, *how, model=_MODEL.value)
  learning = _SHARE.value, _SEED.value
  dose_value.run(_LOG.value, _POLICY.value, *learning, figure, out, _AGAINST.value, reading)


if __name__ == '__main__':
  launch.start_alone(main)
