"""A catalogue that is too large for tables of items by items, from files to metrics."""

import pytest

from tests.helpers import large_run


@pytest.mark.soak
def test_a_large_catalogue_passes_in_bounded_memory(tmp_path):
  """What a process of nothing takes, and 15 kB an item at most, where EASE would take 3.8 TB."""
  num_items = 400_000
  taken = {each.stage: each for each in large_run.run(tmp_path, 5_000, num_items, 200_000)}
  assert max(each.peak for each in taken.values()) < 1e9 + 15e3 * num_items
  assert 'for a random sample of 200 of the' in taken['evaluate'].output
  for model in ('teacher', 'id-only'):
    assert f'{model} ' in taken['evaluate'].output
