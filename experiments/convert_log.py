"""Writes a log in another format: --log=FILE --out=FILE, each by its ending."""

import pathlib

from absl import flags

from experiments import launch

_ENDINGS = '.parquet, .csv, .npz (OBP), .dsjson, .vw or .vw.csv (Vowpal Wabbit)'
_LOG = flags.DEFINE_string('log', None, _ENDINGS, required=True)
_OUT = flags.DEFINE_string('out', None, 'the file that is written, likewise', required=True)


def main() -> None:
  """Writes the file and says what it does not hold."""
  from rec_jax.data import log_conversion

  source, target = pathlib.Path(_LOG.value), pathlib.Path(_OUT.value)
  log, lost = log_conversion.convert(source, target)
  print(f'{len(log.action):,} rows, {len(log.item_ids):,} items: {target}')
  if lost:
    print(f'not in it, or otherwise: {", ".join(lost)}')


if __name__ == '__main__':
  launch.start_alone(main)
