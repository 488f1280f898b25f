"""Learns classes on the encoder and towers of a run, and reports each: --workdir=DIR --target."""

from absl import flags

from experiments import launch

_WORKDIR = flags.DEFINE_string('workdir', None, 'of the run, with prepare and pretrain finished')
_TARGET = flags.DEFINE_enum(
  'target',
  'category',
  ['category', 'buys', 'likes'],
  'a label of items by their text, whether users come back, or which events they like',
)
_COLUMN = flags.DEFINE_string('column', '', 'of the items, their label; of MovieLens: genre')
_BALANCED = flags.DEFINE_bool('balanced', True, 'whether rare classes weigh as much as others')


def main() -> None:
  """Learns, judges, prints, and says where the page is."""
  from rec_jax.report import terminal
  from rec_jax.studies import classification
  from rec_jax.types import InputError

  if not _WORKDIR.value:
    raise InputError('give --workdir=DIR of a run')
  settings = _TARGET.value, _COLUMN.value, _BALANCED.value
  tables, path = classification.run(_WORKDIR.value, *settings)
  print('\n\n'.join(terminal.table(table.columns, table.rows) for table in tables))
  print(f'\n{tables[0].note}\npage: {path}')


if __name__ == '__main__':
  launch.start_alone(main)
