"""Counts how often 95 % intervals cover a policy's value; status 1 if too rarely or too often."""

import sys

from experiments import launch


def main() -> None:
  """Prints the tables."""
  from rec_jax.studies import coverage

  if not coverage.run():
    sys.exit(1)


if __name__ == '__main__':
  launch.start_alone(main)
