"""Judges all models and policies of a run and writes its report, or judges one checkpoint."""

import pathlib

from absl import flags

from experiments import launch
from rec_jax.runs.config import Config

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'WORKDIR/STAGE: evaluate the checkpoint of this stage alone'
)


def main(config: Config, workdir: pathlib.Path) -> None:
  """The stage, or the evaluation of one checkpoint."""
  if _CHECKPOINT.value is None:
    launch.run_stages(('evaluate',), config, workdir)
  else:
    from rec_jax.stages.evaluate import stage as evaluate

    evaluate.run_checkpoint(pathlib.Path(_CHECKPOINT.value))


if __name__ == '__main__':
  launch.start(main)
