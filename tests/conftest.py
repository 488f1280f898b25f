"""Settings of all tests: cheap compilation, and what shares programs in one process."""

import os

import hypothesis
import pytest

# Most of the time of these tests is compilation. Programs that run a few times on small shapes need
# not be optimised, and the loops that XLA makes of fused operations take half the time in its older
# way. Set before JAX starts, here and in the scripts that tests start.
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_cpu_use_fusion_emitters=false'
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'
# Else the keys of a cache hold the name of its directory, and a copy of it is of no use.
os.environ['JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES'] = 'none'

# A script with a requirement of its own, which doctests would import.
collect_ignore = ['mutants.py']

hypothesis.settings.register_profile('repeatable', derandomize=True, deadline=None)
hypothesis.settings.load_profile('repeatable')


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  """The longest first, and what shares programs or a finished run in one worker."""
  items.sort(key=lambda item: item.path.name != 'test_end_to_end.py')
  for item in items:
    if item.get_closest_marker('xdist_group') is None:
      item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item):
  """The policy of a test over the registry, else the file."""
  name = getattr(item, 'callspec', None) and item.callspec.params.get('name')
  is_policy = item.path.parent.name == 'bandits' and isinstance(name, str)
  return name if is_policy else str(item.path)
