"""Learns a softmax policy from a log and values it: --log=FILE --objective=NAME --out=DIR."""

import pathlib

from absl import flags

from experiments import launch

_LOG = flags.DEFINE_string('log', None, 'Parquet log, see rec_jax/data/logged.py', required=True)
_OBJECTIVE = flags.DEFINE_string(
  'objective',
  None,
  'ipw, baseline, banditnet, dr, mrdr, natural, poem, top_k or pessimistic',
  required=True,
)
_OUT = flags.DEFINE_string('out', None, 'directory for the policy and the figure', required=True)
_SHARE = flags.DEFINE_float('train_share', 0.5, 'first part of the log, which the policy learns')
_SEED = flags.DEFINE_integer('seed', 0, 'of the learning, the folds and the bootstrap')
_MAX_WEIGHT = flags.DEFINE_float('max_weight', 100.0, 'at which importance weights are clipped')
_PENALTY = flags.DEFINE_float('penalty', 1.0, 'standard errors that poem and pessimistic take off')
_SLATE = flags.DEFINE_integer('slate_size', 3, 'of top_k')
_STEPS = flags.DEFINE_integer('num_steps', 300, 'of descent')


def main() -> None:
  """Writes the policy and prints what it would have earned on the rest of the log."""
  from rec_jax.studies.logged import learn

  settings = learn.LearningConfig(
    _OBJECTIVE.value, _MAX_WEIGHT.value, _PENALTY.value, _SLATE.value, _STEPS.value
  )
  learn.run(_LOG.value, settings, _SHARE.value, _SEED.value, pathlib.Path(_OUT.value))


if __name__ == '__main__':
  launch.start_alone(main)
