"""Tables for classification: rows of attributes and the class of each."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl


@dataclasses.dataclass(frozen=True)
class ClassificationTable:
  """Rows of attributes with their classes.

  Attributes:
    attributes: [M, D] float32; columns of numbers with mean 0 and variance 1, then a column of 0
      and 1 for each category of the others. Columns that never change are left out.
    labels: [M] int32 in [0, K).
    classes: the K classes as the source writes them, in alphabetical order.
  """

  attributes: np.ndarray
  labels: np.ndarray
  classes: tuple[str, ...]


def read_classification(path: str | Path) -> ClassificationTable:
  """Reads comma-separated values without a header, the class in the last column.

  A column is one of numbers if all of its values are, else one of categories.

  Args:
    path: of a file of text, which may be compressed by gzip.
  """
  raw = pl.read_csv(path, has_header=False, infer_schema=False)
  raw = raw.select(pl.all().str.strip_chars())
  *attributes, label = raw.iter_columns()
  columns = [column for column in attributes if column.n_unique() > 1]
  as_numbers = [column.cast(pl.Float64, strict=False) for column in columns]
  numbers = [column.to_numpy() for column in as_numbers if not column.has_nulls()]
  categories = [
    (column == value).to_numpy()
    for column, number in zip(columns, as_numbers, strict=True)
    if number.has_nulls()
    for value in column.unique().sort()
  ]
  standardised = [(column - column.mean()) / column.std() for column in numbers]
  classes, labels = np.unique(label.to_numpy(), return_inverse=True)
  return ClassificationTable(
    attributes=np.stack([*standardised, *categories], axis=1).astype(np.float32),
    labels=labels.astype(np.int32),
    classes=tuple(classes.tolist()),
  )
