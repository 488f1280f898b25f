"""Values a policy on a log: --log=FILE --policy=NAME|CHECKPOINT."""

import pathlib

from absl import flags

from experiments import launch

_LOG = flags.DEFINE_string(
  'log', None, 'Parquet log or .npz of OBP, see rec_jax/data/logged.py', required=True
)
_POLICY = flags.DEFINE_string(
  'policy', None, 'of the registry, a checkpoint of learn_policy, item:ID or logged', required=True
)
_AGAINST = flags.DEFINE_string('against', 'logged', 'another one, in place of which it is')
_SHARE = flags.DEFINE_float('train_share', 0.5, 'first part of the log, which the policy learns')
_SEED = flags.DEFINE_integer('seed', 0, 'of the policy, the folds and the bootstrap')
_OUT = flags.DEFINE_string('out', None, 'JSON file that gets the rows of the table')
_FIGURE = flags.DEFINE_string('figure', 'policy_value.svg', 'where the figure goes')


def main() -> None:
  """Prints the table and the advice, and writes the figure."""
  from rec_jax.studies.logged import valuation

  figure, out = pathlib.Path(_FIGURE.value), pathlib.Path(_OUT.value) if _OUT.value else None
  valuation.run(_LOG.value, _POLICY.value, _SHARE.value, _SEED.value, figure, out, _AGAINST.value)


if __name__ == '__main__':
  launch.start_alone(main)
