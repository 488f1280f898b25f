"""Films: reading the `omdb` table, matching it with MovieLens titles, describing a film in text.

A description puts first what tells most, because encoders cut texts: title, year, genres,
director, country, then the cast with the best-known names first.
"""

import collections
import contextlib
import dataclasses
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Film:
  """One film; a field that is not known is empty, its year 0."""

  title: str
  year: int
  genres: tuple[str, ...]
  directors: tuple[str, ...] = ()
  countries: tuple[str, ...] = ()
  cast: tuple[str, ...] = ()


class FilmIndex(NamedTuple):
  """Films by title, from the strictest reading of a title to the loosest.

  Attributes:
    by_title: normalised title -> films.
    by_bare_title: the same without a leading article.
    by_part: either side of a dash or colon -> films ("The Empire Strikes Back").
  """

  by_title: dict[str, list[Film]]
  by_bare_title: dict[str, list[Film]]
  by_part: dict[str, list[Film]]


def read_films(path: Path) -> list[Film]:
  """All films of the `omdb` table.

  The table lists a cast by the alphabet. Here it is by the number of films up to 1997, so that
  the best-known name comes first, and no fame that came after the MovieLens events is used.
  """
  with contextlib.closing(sqlite3.connect(f'{path.as_uri()}?mode=ro', uri=True)) as connection:
    # CAST is a keyword of SQL, hence the quotes.
    query = 'SELECT Title, Year, Genre, Director, Country, "Cast" FROM omdb ORDER BY ID'
    rows = connection.execute(query).fetchall()
  fame = collections.Counter(
    name for _, year, *_, cast in rows if year <= _FAME_UNTIL for name in _names(cast)
  )
  films = []
  for title, year, genres, directors, countries, cast in rows:
    known_first = sorted(_names(cast), key=lambda name: (-fame[name], name))
    films.append(
      Film(title, year, _names(genres), _names(directors), _names(countries), tuple(known_first))
    )
  return films


def index_films(films: Iterable[Film]) -> FilmIndex:
  """Builds the look-up that `find` uses."""
  index = FilmIndex(
    collections.defaultdict(list), collections.defaultdict(list), collections.defaultdict(list)
  )
  for film in films:
    key = title_key(film.title)
    index.by_title[key].append(film)
    index.by_bare_title[bare_key(key)].append(film)
    parts = re.split(r'\s*[:\u2013]\s+', film.title)
    for part in {title_key(part) for part in (parts[0], parts[-1])} - {key}:
      index.by_part[part].append(film)
  return index


def find(film: Film, index: FilmIndex) -> Film | None:
  """The film of the same title and year; one year apart only where the title is the very same."""
  keys = title_keys(film.title)
  tiers = (
    (index.by_title, keys, 1),
    (index.by_bare_title, [bare_key(key) for key in keys], 0),
    (index.by_part, keys, 0),
  )
  for films, tier_keys, tolerance in tiers:
    found = [other for key in tier_keys for other in films.get(key, ())]
    near = [other for other in found if abs(other.year - film.year) <= tolerance]
    if near:
      return min(near, key=lambda other: abs(other.year - film.year))
  return None


def natural_title(title: str) -> str:
  """Puts trailing articles in front: "Haine, La" -> "La Haine", also in brackets.

  >>> natural_title('Tin Drum, The (Blechtrommel, Die)')
  'The Tin Drum (Die Blechtrommel)'
  """
  return re.sub(rf'([^()]+), ({_ARTICLES})(?=\s*[()]|$)', _article_first, title)


def title_keys(title: str) -> list[str]:
  """Normalised titles that a MovieLens title stands for: the main one and that in brackets."""
  main, *others = re.split(r'[()]', natural_title(title))
  return [key for key in map(title_key, (main, *others)) if key]


def title_key(title: str) -> str:
  """Lower case without accents and punctuation, "&" read as "and".

  >>> title_key("Schindler's List"), title_key('Secrets & Lies'), title_key('La Cérémonie')
  ('schindlers list', 'secrets and lies', 'la ceremonie')
  """
  plain = unicodedata.normalize('NFKD', title).encode('ascii', 'ignore').decode().lower()
  plain = plain.replace('&', ' and ').replace("'", '')
  return ' '.join(re.findall('[a-z0-9]+', plain))


def bare_key(key: str) -> str:
  """A normalised title without its leading article."""
  return re.sub(r'^(the|a|an) ', '', key)


def describe(film: Film) -> str:
  """A film in one line of text."""
  title = natural_title(film.title)
  fields: Sequence[str] = (
    f'{title} ({film.year})' if film.year else title,
    ', '.join(film.genres),
    ', '.join(film.directors),
    ', '.join(film.countries),
    ', '.join(film.cast[:_CAST_SHOWN]),
  )
  return '. '.join(field for field in fields if field)


def attributes(film: Film) -> dict[str, list[str]]:
  """What a film can be chosen by: genre, year, director and country, each with its values."""
  return {
    'genre': list(film.genres),
    'year': [str(film.year)] if film.year else [],
    'director': list(film.directors),
    'country': list(film.countries),
  }


_FAME_UNTIL = 1997
_CAST_SHOWN = 8
_ARTICLES = "The|An|A|Les|Le|La|L'|Il|El|Los|Las|Der|Die|Das|O"


def _article_first(match: re.Match[str]) -> str:
  name, article = match.groups()
  return f'{article}{name}' if article.endswith("'") else f'{article} {name}'


def _names(field: str | None) -> tuple[str, ...]:
  return tuple(name.strip() for name in (field or '').split(',') if name.strip())
