"""Data that several tests read."""

import pytest

from rec_jax.data import builder, sources
from rec_jax.types import Interactions, ItemTable


@pytest.fixture(scope='session')
def movielens(tmp_path_factory) -> tuple[Interactions, ItemTable]:
  """MovieLens-100k from the installed package, by way of the disk."""
  directory = tmp_path_factory.mktemp('movielens') / 'dataset'
  builder.write(sources.movielens(), directory)
  return builder.read(directory)
