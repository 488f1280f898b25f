"""Rolls out bandit policies: on the feedback after the cut, or in one world of `stages.worlds`."""

import pathlib

from experiments import launch
from rec_jax.stages.config import Config, SweepConfig


def main(config: Config | SweepConfig, workdir: pathlib.Path) -> None:
  """The stage of the chain, or a sweep, by the type of the config."""
  if isinstance(config, SweepConfig):
    from rec_jax.stages import sweep
    from rec_jax.stages import workdir as workdirs

    with workdirs.unchanged_on_bad_input(workdir):
      sweep.run(config, workdir)
  else:
    launch.run_stages(('explore',), config, workdir)


if __name__ == '__main__':
  launch.start(main)
