"""Times rec_jax beside its peers in one run: --name=NAME --out=FILE.json, or --list."""

from absl import flags

from experiments import launch

_NAME = flags.DEFINE_string('name', None, 'which benchmark, see --list')
_OUT = flags.DEFINE_string('out', None, 'JSON file that gets the rows; figures go beside it')
_LIST = flags.DEFINE_bool('list', False, 'prints the names and stops')
_PEERS = flags.DEFINE_string('peers', '.venv-bench/bin/python', "the peers' Python, see make bench")


def main() -> None:
  """Runs a benchmark, prints its rows and writes them."""
  from experiments import benchmarks

  if _LIST.value:
    print(benchmarks.listing())
  else:
    benchmarks.execute(_NAME.value, _PEERS.value, _OUT.value)


if __name__ == '__main__':
  launch.start_alone(main)
