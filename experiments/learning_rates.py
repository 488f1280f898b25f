"""Finds a learning rate for a stage of a run: the loss while the rate rises, as a plot."""

from absl import flags

from experiments import launch

_WORKDIR = flags.DEFINE_string('workdir', None, 'of the run, with the stages before it finished')
_STAGE = flags.DEFINE_enum('stage', 'finetune', ['finetune', 'distil'], 'whose rate')
_OPTIMIZER = flags.DEFINE_enum(
  'optimizer', '', ['', 'adamw', 'adafactor', 'muon'], 'that of the run if not given'
)
_HIGHEST = flags.DEFINE_float('highest', 1.0, 'rate of the last step', 1e-6, 100.0)
_NUM_STEPS = flags.DEFINE_integer('num_steps', 200, 'steps in which it rises', 20, 10_000)


def main() -> None:
  """Tests, plots and says what to set."""
  from rec_jax.studies import learning_rates
  from rec_jax.types import InputError

  if not _WORKDIR.value:
    raise InputError('give --workdir=DIR of a run')
  found, path = learning_rates.find(
    _WORKDIR.value, _STAGE.value, _OPTIMIZER.value, _HIGHEST.value, _NUM_STEPS.value
  )
  print(f'the loss falls fastest at {found.steepest:.2g} and is least at {found.least:.2g}')
  print(f'--config.{_STAGE.value}.learning_rate={found.steepest:.2g}')
  print(f'page: {path}')


if __name__ == '__main__':
  launch.start_alone(main)
