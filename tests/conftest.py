"""Settings of all tests."""

import hypothesis

# A script with a requirement of its own, which doctests would import.
collect_ignore = ['mutants.py']

hypothesis.settings.register_profile('repeatable', derandomize=True, deadline=None)
hypothesis.settings.load_profile('repeatable')


def pytest_collection_modifyitems(items):
  """The longest tests first, so that at the end no worker waits for another."""
  items.sort(key=lambda item: item.path.name != 'test_end_to_end.py')
