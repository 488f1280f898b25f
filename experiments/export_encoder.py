"""Writes the text encoder of a run as a folder in the Hugging Face layout: --workdir, --output."""

from absl import flags

from experiments import launch

_WORKDIR = flags.DEFINE_string('workdir', None, 'of the run')
_OUTPUT = flags.DEFINE_string('output', None, 'the folder to write, which must not be there yet')
_STAGE = flags.DEFINE_enum(
  'stage', 'finetune', ['finetune', 'pretrain'], 'whose encoder; low-rank terms are merged'
)


def main() -> None:
  """Exports and says where."""
  from rec_jax.retrieval import encoder_export
  from rec_jax.types import InputError

  workdir, output = _WORKDIR.value, _OUTPUT.value
  if not workdir or not output:
    raise InputError('give --workdir=DIR of a run and --output=FOLDER')
  encoder_export.export(workdir, output, _STAGE.value)
  print(output)


if __name__ == '__main__':
  launch.start_alone(main)
