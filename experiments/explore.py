"""Rolls out bandit policies: on the feedback after the cut, or in one world of a sweep."""

import pathlib

from experiments import launch
from rec_jax.runs.config import Config
from rec_jax.studies.sweep.config import SweepConfig


def main(config: Config | SweepConfig, workdir: pathlib.Path) -> None:
  """The stage of the chain, or a sweep, by the type of the config."""
  if isinstance(config, SweepConfig):
    launch.run_sweep(config, workdir)
  else:
    launch.run_stages(('explore',), config, workdir)


if __name__ == '__main__':
  launch.start(main)
