"""Settings of all tests: cheap compilation, and what shares programs in one process."""

import os
import sys
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import loadscope

from tests.helpers.cheap_programs import IS_JAX_10, cheap_programs

# Most of the time of these tests is compilation. Programs that run a few times on small shapes need
# not be optimised nor be split among threads. The loops that XLA makes of fused operations take
# half the time in its older way, which JAX 0.12 has no more: there a preset saves a sixth. Set
# before JAX starts, here and in the scripts that tests start.
_FLAGS = [
  '--xla_cpu_parallel_codegen_split_count=1',
  '--xla_cpu_use_fusion_emitters=false'
  if IS_JAX_10
  else '--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE',
]
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *_FLAGS])
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'
# Else the keys of a cache hold the name of its directory, and a copy of it is of no use.
os.environ['JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES'] = 'none'

# Of the memory maps that Linux allows a process, 65,530 unless it is told otherwise, each compiled
# program holds a handful as long as it is remembered; where they are used up it crashes. What is
# left is enough for two thousand programs of a file. To forget takes ten seconds, and more later.
_MAPS, _MOST_MAPS = Path('/proc/self/maps'), 50_000

# A script with a requirement of its own, which doctests would import.
collect_ignore = ['mutants.py']

hypothesis.settings.register_profile('repeatable', derandomize=True, deadline=None)
hypothesis.settings.load_profile('repeatable')


@pytest.fixture
def optimised():
  """Programs that run for longer than they compile, such as those of thousands of resamples."""
  import jax

  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', True)


@pytest.fixture(scope='session', autouse=True)
def cheaply():
  with cheap_programs():
    yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
  """Figures are laid out and left empty, but for tests of drawing: half of the time of a page.

  Around the fixtures as well, which may be a module's.
  """
  is_of_drawing = item.get_closest_marker('drawn') or 'report' in item.path.parts
  with pytest.MonkeyPatch.context() as patched:
    # Whoever has not imported it draws nothing.
    if 'matplotlib.figure' in sys.modules and not is_of_drawing:
      patched.setattr('matplotlib.figure.Figure.savefig', _leave_empty)
    yield


def _leave_empty(figure, stream, **options):
  stream.write('<svg/>')


def pytest_runtest_teardown(item, nextitem):
  """Forgets compiled programs between two files where there are many."""
  if nextitem is None or nextitem.path == item.path or not _MAPS.exists():
    return
  with _MAPS.open('rb') as maps:
    number = sum(1 for _ in maps)
  if number > _MOST_MAPS:
    import jax

    jax.clear_caches()


def pytest_collection_modifyitems(items):
  """Last the many short ones that even out how busy the workers are."""
  items.sort(key=lambda item: item.path.name == 'test_registry.py')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """One worker for what shares compiled programs or a finished run."""
  config.option.loadscopereorder = False
  return _Scheduler(config, log)


class _Scheduler(loadscope.LoadScopeScheduling):
  """Sends the tests of a policy to one worker, else those of a file."""

  def _split_scope(self, nodeid):
    file, _, test = nodeid.partition('::')
    return test.partition('[')[2] if file == 'tests/bandits/test_registry.py' else file
