"""All stages in order, from raw files to the report."""

from experiments import launch
from rec_jax.runs.config import STAGES

if __name__ == '__main__':
  launch.main(*STAGES)
