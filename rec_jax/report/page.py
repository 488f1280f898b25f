"""The report: one self-contained HTML page."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from rec_jax import files
from rec_jax.evaluation.intervals import Estimate
from rec_jax.report import numbers
from rec_jax.report.numbers import Cell
from rec_jax.report.style import Figure, data_uri

TEMPLATE = 'page.html.j2'


@dataclasses.dataclass(frozen=True)
class Table:
  """A table whose estimates show value, interval and n.

  Attributes:
    title: what it shows.
    columns: headings.
    rows: cells, as many as there are columns; the first names the row.
    note: protocol, unit of the interval and whatever else a reader must know.
  """

  title: str
  columns: Sequence[str]
  rows: Sequence[Sequence[Cell]]
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Section:
  """A part of the page, usually a stage.

  Attributes:
    title: also its entry in the contents.
    text: paragraphs, parted by empty lines.
    tables: shown first.
    figures: shown after the tables.
  """

  title: str
  text: str = ''
  tables: Sequence[Table] = ()
  figures: Sequence[Figure] = ()


@dataclasses.dataclass(frozen=True)
class Headline:
  """A number large enough to be seen first.

  Attributes:
    label: what it is.
    value: the number.
    note: what to compare it with.
  """

  label: str
  value: Cell
  note: str = ''


@dataclasses.dataclass(frozen=True)
class Summary:
  """What a reader should take away.

  Attributes:
    headlines: a few numbers.
    conclusions: sentences that the numbers support.
    limits: what not to conclude, and why.
  """

  headlines: Sequence[Headline]
  conclusions: Sequence[str]
  limits: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Facts:
  """One group of what was run.

  Attributes:
    title: the group, such as data or versions.
    items: name -> value.
    is_long: folded until the reader opens it, as for the whole configuration.
  """

  title: str
  items: Mapping[str, Cell]
  is_long: bool = False


def write_page(
  path: str | os.PathLike[str],
  title: str,
  facts: Sequence[Facts],
  summary: Summary,
  sections: Sequence[Section],
) -> None:
  """Writes the page in one step: a reader finds the old page or the new one, never half of it.

  Args:
    path: the HTML file; its directory is made if need be.
    title: heading of the page.
    facts: what was run.
    summary: what to conclude and what not.
    sections: the parts, in order.

  Raises:
    ValueError: if a row of a table has another number of cells than the table has columns.
  """
  html = render(title, facts, summary, sections)
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write_atomic(path, html)


def render(
  title: str, facts: Sequence[Facts], summary: Summary, sections: Sequence[Section]
) -> str:
  """The HTML of `write_page`."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('rec_jax.report'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters.update(
    uri=data_uri, paragraphs=_paragraphs, table=_table, cell=lambda cell: _cell(cell, None, False)
  )
  template = environment.get_template(TEMPLATE)
  return template.render(title=title, facts=facts, summary=summary, sections=sections)


def _paragraphs(text: str) -> list[str]:
  return [part.strip() for part in text.split('\n\n') if part.strip()]


def _table(table: Table) -> dict[str, Any]:
  """Headings with their n, and rows of formatted cells."""
  for row in table.rows:
    if len(row) != len(table.columns):
      raise ValueError(
        f'table {table.title!r}: {len(row)} cells for {len(table.columns)} columns: {list(row)}'
      )
  columns = [[row[i] for row in table.rows] for i in range(len(table.columns))]
  decimals = [numbers.column_decimals(cells) for cells in columns]
  counts = [numbers.shared_n(cells) for cells in columns]
  rows = [
    [
      _cell(cell, places, count is None)
      for cell, places, count in zip(row, decimals, counts, strict=True)
    ]
    for row in table.rows
  ]
  is_text = [all(isinstance(cell, str) for cell in cells) for cells in columns]
  is_dense = sum(isinstance(cell, Estimate) for cell in table.rows[0]) > 3 if table.rows else False
  return {
    'is_dense': is_dense,
    'headings': list(zip(table.columns, counts, is_text, strict=True)),
    'rows': rows,
  }


def _cell(cell: Cell, decimals: int | None, with_n: bool) -> dict[str, str | bool]:
  """What the template writes: a text, the interval after it, and n where it is not the column's."""
  if not isinstance(cell, Estimate):
    return {
      'text': numbers.plain(cell, decimals),
      'interval': '',
      'n': '',
      'is_text': isinstance(cell, str),
    }
  places = numbers.estimate_decimals(cell) if decimals is None else decimals
  return {
    'text': numbers.number(cell.value, places),
    'interval': numbers.interval(cell, places),
    'n': f'n = {cell.n:,}' if with_n else '',
    'is_text': False,
  }
