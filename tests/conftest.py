"""Settings of all tests: cheap compilation, and what shares programs in one process."""

import os
import pathlib

import hypothesis
import pytest

# Most of the time of these tests is compilation, and most of that the loops that XLA makes of fused
# operations: its older way of making them takes half the time, for programs that run a few times on
# small shapes. Set before JAX starts, here and in the scripts that tests start.
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} --xla_cpu_use_fusion_emitters=false'

# A script with a requirement of its own, which doctests would import.
collect_ignore = ['mutants.py']

hypothesis.settings.register_profile('repeatable', derandomize=True, deadline=None)
hypothesis.settings.load_profile('repeatable')


def pytest_collection_modifyitems(items):
  """The longest first, and what shares programs or a finished run in one worker."""
  items.sort(key=lambda item: item.path.name != 'test_end_to_end.py')
  for item in items:
    if item.get_closest_marker('xdist_group') is None:
      item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item):
  """The policy of a test over the registry, a whole run by itself, else the file."""
  name = getattr(item, 'callspec', None) and item.callspec.params.get('name')
  path = pathlib.Path(item.path)
  if path.parent.name == 'bandits' and isinstance(name, str):
    return name
  return item.nodeid if path.name == 'test_end_to_end.py' else str(path)
