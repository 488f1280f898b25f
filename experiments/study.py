"""Runs a declared study, see --list: variants x seeds, paired intervals; status 1 if it fails."""

from experiments import launch, studies

if __name__ == '__main__':
  launch.start_study(studies.NAMES, studies.load)
