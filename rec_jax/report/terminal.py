"""A short aligned table for the terminal."""

from collections.abc import Sequence

from rec_jax.report import numbers
from rec_jax.report.numbers import Cell


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
  """Lines of equal width: text to the left, numbers to the right, estimates as value [low, high].

  >>> print(table(['model', 'items'], [['popularity', 103], ['teacher', 1234]]))
  model       items
  ----------  -----
  popularity    103
  teacher     1,234

  Args:
    columns: a heading for each column.
    rows: cells, as many as there are columns.

  Returns:
    The table, without a newline at the end.

  Raises:
    ValueError: if a row has another number of cells.
  """
  for row in rows:
    if len(row) != len(columns):
      raise ValueError(f'{len(row)} cells for {len(columns)} columns: {list(row)}')
  lines = [_aligned(name, [row[i] for row in rows]) for i, name in enumerate(columns)]
  return '\n'.join('  '.join(parts).rstrip() for parts in zip(*lines, strict=True))


def _aligned(name: str, cells: list[Cell]) -> list[str]:
  decimals, n = numbers.column_decimals(cells), numbers.shared_n(cells)
  heading = name if n is None else f'{name} (n={n:,})'
  texts = [numbers.plain(cell, decimals) for cell in cells]
  width = max(map(len, [heading, *texts]))
  is_text = all(isinstance(cell, str) for cell in cells)
  align = str.ljust if is_text else str.rjust
  return [align(heading, width), '-' * width, *(align(text, width) for text in texts)]
