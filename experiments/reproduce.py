"""Reproduces published numbers: --list names them, --row=NAME runs one; status 1 if it fails."""

import sys

from absl import flags

from experiments import launch, reproductions

_LIST = flags.DEFINE_bool('list', False, 'name the rows with their set-up and source')
_ROW = flags.DEFINE_string('row', None, f'the row to run: {", ".join(reproductions.NAMES)}')


def main() -> None:
  """Lists the rows or runs one."""
  if _LIST.value:
    print(reproductions.listing())
  elif not reproductions.compare(_ROW.value):
    sys.exit(1)


if __name__ == '__main__':
  launch.start_alone(main)
