"""Titles as people write them: found in a catalogue, whatever their articles, commas and years."""

import difflib
import heapq
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rec_jax.data import films

# Of one title, between commas.
_MOST_PARTS = 6
_LONGEST_TITLE = 120
# Names that are compared letter by letter, and how alike they have to be (0 to 1).
_MOST_COMPARED, _LEAST_ALIKE = 200, 0.6
_ARTICLE = re.compile(r"(the|an?|les?|la|l'|il|el|los|las|der|die|das|o)( \(.*\))?", re.IGNORECASE)
# Not behind what is short for a word of a name.
_SENTENCE_END = re.compile(r'(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bSt)(?<!\bMrs)\. ')
_YEAR = re.compile(r'\s*\((\d{4})\)$')


def title_of(text: str) -> str:
  """The title that the text of an item begins with: up to its year, else its first sentence.

  >>> title_of('Dr. Strangelove (1963). Comedy, War. Stanley Kubrick')
  'Dr. Strangelove (1963)'
  >>> title_of('red old thing 7. A red thing')
  'red old thing 7'
  """
  by_year = re.match(r'(.+? \(\d{4}\))(?=\. |$)', text[:_LONGEST_TITLE])
  return by_year[1] if by_year else _SENTENCE_END.split(text, maxsplit=1)[0]


def key(title: str) -> str:
  """Lower case without accents, punctuation and articles at the end; "&" read as "and".

  >>> key('Usual Suspects, The (1995)'), key('La Cérémonie'), key('流浪地球 2')
  ('the usual suspects 1995', 'la ceremonie', '流浪地球 2')
  """
  plain = unicodedata.normalize('NFKD', films.natural_title(title.strip())).casefold()
  if not plain.isascii():
    plain = ''.join(each for each in plain if not unicodedata.combining(each))
  return ' '.join(re.findall(r'\w+', plain.replace('&', ' and ').replace("'", '')))


def alike(wanted: str, names: Collection[str], number: int) -> list[str]:
  """Names that are spelt like the one that is wanted, the most alike first.

  Spelling is compared with the names that share most pairs of letters alone, for their size.

  >>> alike('usaul suspects', ['the usual suspects', 'heat', 'babe'], 2)
  ['the usual suspects']
  """
  pairs = {wanted[place : place + 2] for place in range(len(wanted) - 1)}
  # Twice the letters in common, over all of both: names of other sizes cannot be near enough.
  least = _LEAST_ALIKE / (2 - _LEAST_ALIKE)
  sized = (each for each in names if least * len(wanted) <= len(each) <= len(wanted) / least)
  shares = ((sum(pair in each for pair in pairs) / (len(each) + 1), each) for each in sized)
  likely = heapq.nlargest(_MOST_COMPARED, shares)
  return difflib.get_close_matches(wanted, [each for _, each in likely], number, _LEAST_ALIKE)


class Titles:
  """The titles of a catalogue, by key, from when one is first asked for; with those added later."""

  def __init__(self, titles: Iterable[str], weights: Sequence[float]):
    """An index.

    Args:
      titles: [N].
      weights: [N], of several items with a title the heaviest is meant.
    """
    self._titles = list(titles)
    self._weights = list(weights)
    self._rows: dict[str, list[int]] = {}
    self._num_indexed = 0

  def add(self, title: str, weight: float) -> None:
    """One more item, behind all others."""
    self._titles.append(title)
    self._weights.append(weight)

  def find(self, title: str) -> int | None:
    """The row of a title, with or without its year and leading article."""
    whole, known = key(title), self._indexed()
    rows = known.get(whole) or known.get(films.bare_key(whole))
    return max(rows, key=lambda row: self._weights[row]) if rows else None

  def nearest(self, text: str, number: int = 3) -> list[int]:
    """Rows of titles that contain the text, the heaviest first, then of those spelt like it."""
    wanted, known = key(text), self._indexed()
    if not wanted:
      return []
    holders = {row for each, rows in known.items() if wanted in each for row in rows}
    found = heapq.nsmallest(number, holders, key=lambda row: -self._weights[row])
    if len(found) < number:
      for like in alike(wanted, known, number):
        found += [row for row in known[like] if row not in found]
    return found[:number]

  def _indexed(self) -> dict[str, list[int]]:
    """Rows by key, of all titles so far."""
    for row in range(self._num_indexed, len(self._titles)):
      title = self._titles[row]
      main = _YEAR.sub('', title)
      # In brackets stands another title of the same film.
      others = re.findall(r'\(([^()]*\D[^()]*)\)', title)
      names = {title, main, *others, main.split(' (', 1)[0]}
      keys = {key(name) for name in names}
      for each in (keys | set(map(films.bare_key, keys))) - {''}:
        self._rows.setdefault(each, []).append(row)
    self._num_indexed = len(self._titles)
    return self._rows


class Wanted(NamedTuple):
  """What a list of titles and ids names.

  Attributes:
    rows: of the items, in order.
    unknown: what was not found.
  """

  rows: list[int]
  unknown: list[str]


def parse(text: str, titles: Titles, rows: Mapping[str, int]) -> Wanted:
  """Reads a list of titles and ids, parted by commas or, where titles hold those, by semicolons.

  Of parts between commas as many are taken together as make a title.

  Args:
    text: such as "Toy Story, Usual Suspects, The (1995), 50".
    titles: of the catalogue.
    rows: by id, which is tried first.
  """
  separator, most = (';', 1) if ';' in text else (',', _MOST_PARTS)
  parts = [part.strip() for part in text.split(separator) if part.strip()]
  found, unknown, start = list[int](), list[str](), 0
  while start < len(parts):
    row, end = None, start
    for end in range(min(len(parts), start + most), start, -1):
      name = ', '.join(parts[start:end])
      row = rows.get(name, titles.find(name))
      if row is not None:
        break
    if row is not None:
      found.append(row)
    else:
      # An article at the end belongs to what was misspelt before it.
      is_article = end < len(parts) and separator == ',' and _ARTICLE.fullmatch(parts[end])
      end += bool(is_article)
      unknown.append(', '.join(parts[start:end]))
    start = end
  return Wanted(found, unknown)
