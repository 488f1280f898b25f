"""Prints what policies learnt from a log earn more than the one that logged, over 20 worlds."""

from experiments import launch


def main() -> None:
  """Prints the table."""
  from rec_jax.studies import gains

  gains.run()


if __name__ == '__main__':
  launch.start_alone(main)
