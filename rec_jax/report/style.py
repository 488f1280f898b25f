"""The look of all figures: fonts, colours, the size of a panel, and how it becomes SVG."""

import base64
import contextlib
import dataclasses
import io
from typing import Any

import matplotlib
import matplotlib.figure
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

Dash = str | tuple[int, tuple[float, ...]]

# Okabe & Ito (2008) without its yellow, which is too light on white: safe for colour-blind readers.
PALETTE = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00', '#444444')
DASHES: tuple[Dash, ...] = ('-', (0, (5, 2)), (0, (1, 1.5)))
INK, MUTED, RULE, GRID = '#1f2933', '#5f6b7a', '#b6bfca', '#e8ecf1'

# One panel in inches: two fit side by side on the page, and one shrinks to a phone legibly.
PANEL_WIDTH = 5.4

_RC: dict[Any, Any] = {
  'font.family': 'DejaVu Sans',
  'font.size': 10,
  'text.color': INK,
  'axes.labelcolor': INK,
  'axes.labelsize': 10,
  'axes.edgecolor': RULE,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': GRID,
  'grid.linewidth': 0.8,
  'xtick.color': MUTED,
  'ytick.color': MUTED,
  'xtick.major.size': 0,
  'ytick.major.size': 0,
  'lines.linewidth': 1.8,
  # Ids inside the SVG would otherwise be random, and glyphs depend on the reader's fonts.
  'svg.hashsalt': 'rec_jax',
  'svg.fonttype': 'path',
}


@dataclasses.dataclass(frozen=True)
class LegendEntry:
  """What one colour or line means.

  Attributes:
    label: the meaning.
    colour: CSS colour.
    is_line: drawn as a line, else as a dot.
  """

  label: str
  colour: str
  is_line: bool


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of the page.

  Attributes:
    title: what it shows.
    caption: how to read it.
    panels: SVG documents, side by side where there is room.
    legend: shared by the panels; empty where they are labelled directly.
  """

  title: str
  caption: str
  panels: tuple[str, ...]
  legend: tuple[LegendEntry, ...] = ()


def style() -> contextlib.AbstractContextManager[None]:
  """A context in which figures have this look; the settings of the process are restored."""
  return matplotlib.rc_context(_RC)


def panel(height: float, xlabel: str, ylabel: str = '') -> tuple[matplotlib.figure.Figure, Axes]:
  """An empty panel of the common width; `height` in inches. Call within `style()`."""
  figure = matplotlib.figure.Figure(figsize=(PANEL_WIDTH, height), layout='constrained')
  FigureCanvasAgg(figure)  # Measures text; no window and no global state as with pyplot.
  axes = figure.add_subplot()
  axes.set_xlabel(xlabel)
  # Above the axis and horizontal, so that it is read without turning the head.
  axes.set_title(ylabel, loc='left', fontsize=10, color=INK, pad=10)
  return figure, axes


def to_svg(figure: matplotlib.figure.Figure) -> str:
  """The SVG document of a panel, the same for the same content."""
  buffer = io.StringIO()
  # Metadata would hold the date and addresses of vocabularies.
  metadata = dict.fromkeys(('Creator', 'Date', 'Format', 'Type'))
  figure.savefig(buffer, format='svg', metadata=metadata)
  text = buffer.getvalue()
  return text[text.index('<svg') :]


def data_uri(svg: str) -> str:
  """A source for <img>, which keeps the ids of several figures apart."""
  return 'data:image/svg+xml;base64,' + base64.b64encode(svg.encode()).decode()


def darker(colour: str) -> str:
  """The colour mixed with black, so that small text in it stands out from white."""
  red, green, blue = (0.65 * channel for channel in to_rgb(colour))
  return to_hex((red, green, blue))


def colours(number: int) -> list[str]:
  """A colour for each of `number` series, repeating after the palette; see `dashes`."""
  return [PALETTE[i % len(PALETTE)] for i in range(number)]


def dashes(number: int) -> list[Dash]:
  """A line style for each series, which changes where the colours repeat."""
  return [DASHES[i // len(PALETTE) % len(DASHES)] for i in range(number)]


def label_logarithmic(axis: Axis, subs: tuple[int, ...]) -> None:
  """Plain numbers at each decade times each of `subs`."""
  axis.set_major_locator(LogLocator(subs=subs))
  axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,.10g}'))
  axis.set_minor_locator(NullLocator())
