"""A page on which to pick items and see what a run recommends: --checkpoint=DIR."""

from absl import flags

from experiments import launch

_CHECKPOINT = flags.DEFINE_string('checkpoint', None, 'workdir of a run', required=True)
_MODEL = flags.DEFINE_enum('model', None, ['student', 'teacher'], 'the student if there is one')
_HOST = flags.DEFINE_string('host', '127.0.0.1', 'where to listen; 0.0.0.0 for other machines too')
_PORT = flags.DEFINE_integer('port', 8000, '0 for any that is free', lower_bound=0)


def main() -> None:
  """Serves until it is interrupted."""
  from rec_jax.types import InputError

  try:
    from rec_jax.retrieval import playground
  except ModuleNotFoundError as error:
    raise InputError(f"{error.name} is not installed: pip install '.[playground]'") from None
  playground.serve(_CHECKPOINT.value, _MODEL.value, _HOST.value, _PORT.value)


if __name__ == '__main__':
  launch.start_alone(main)
