"""Values a policy on a log: --log=FILE --policy=NAME|CHECKPOINT."""

import pathlib

from absl import flags

from experiments import launch

_LOG = flags.DEFINE_string('log', None, 'Parquet log, see rec_jax/data/logged.py', required=True)
_POLICY = flags.DEFINE_string(
  'policy', None, 'of the registry, a checkpoint of learn_policy, or "logged"', required=True
)
_SHARE = flags.DEFINE_float('train_share', 0.5, 'first part of the log, which the policy learns')
_SEED = flags.DEFINE_integer('seed', 0, 'of the policy, the folds and the bootstrap')
_FIGURE = flags.DEFINE_string('figure', 'policy_value.svg', 'where the figure goes')


def main() -> None:
  """Prints the table and the advice, and writes the figure."""
  from rec_jax.stages import value_report

  figure = pathlib.Path(_FIGURE.value)
  value_report.run(_LOG.value, _POLICY.value, _SHARE.value, _SEED.value, figure)


if __name__ == '__main__':
  launch.start_alone(main)
