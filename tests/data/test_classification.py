"""Classification tables: standardised numbers, one-hot categories, sizes of the packaged ones."""

import gzip

import numpy as np
import pytest

from rec_jax.data.classification import read_classification
from rec_jax.data.sources import classification_file


def test_numbers_are_standardised_and_categories_get_a_column_each(tmp_path):
  path = tmp_path / 'table.csv.gz'
  path.write_bytes(gzip.compress(b'2, red, 7, no\n4, blue, 7, yes\n6, red, 7, no\n'))
  table = read_classification(path)
  assert table.classes == ('no', 'yes')
  np.testing.assert_array_equal(table.labels, [0, 1, 0])
  # The third column never changes; blue stands before red.
  half = np.sqrt(1.5)
  np.testing.assert_allclose(table.attributes, [[-half, 0, 1], [0, 1, 0], [half, 0, 1]], rtol=1e-6)
  assert (table.attributes.dtype, table.labels.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize(
  ('name', 'num_rows', 'num_columns', 'num_classes', 'most_common'),
  [
    # Of 64 pixels three are always 0.
    ('digits', 1797, 61, 10, 183),
    # KEEL leaves out the rows of UCI with an unknown stalk root; one attribute never changes.
    ('mushroom', 5644, 97, 2, 3488),
    ('satimage', 6435, 36, 6, 1533),
    ('letter', 20_000, 16, 26, 813),
    ('penbased', 10_992, 16, 10, 1144),
  ],
)
def test_the_packaged_tables(name, num_rows, num_columns, num_classes, most_common):
  table = read_classification(classification_file(name))
  assert table.attributes.shape == (num_rows, num_columns)
  assert len(table.classes) == num_classes
  assert np.bincount(table.labels).max() == most_common
  if name == 'mushroom':
    # Of 21 attributes each row has one category.
    np.testing.assert_array_equal(table.attributes.sum(1), 21)
  else:
    columns = table.attributes.astype(float)
    np.testing.assert_allclose(columns.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(columns.std(0), 1, rtol=1e-5)
