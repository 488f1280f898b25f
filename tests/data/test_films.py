"""Matching MovieLens titles with films, and describing a film."""

import sqlite3

import pytest

from rec_jax.data import films
from rec_jax.data.films import Film


@pytest.mark.parametrize(
  ('title', 'expected'),
  [
    ('Toy Story', 'Toy Story'),
    ('Godfather, The', 'The Godfather'),
    ('Haine, La', 'La Haine'),
    ("Uomo delle stelle, L'", "L'Uomo delle stelle"),
    ("Star Maker, The (Uomo delle stelle, L')", "The Star Maker (L'Uomo delle stelle)"),
    ('Seven (Se7en)', 'Seven (Se7en)'),
    # What follows the comma is no article here.
    ('Paris, Texas', 'Paris, Texas'),
    ('I, Worst of All (Yo, la peor de todas)', 'I, Worst of All (Yo, la peor de todas)'),
    ('Adventures of Priscilla, Queen of the Desert, The',
     'The Adventures of Priscilla, Queen of the Desert'),
  ],
)  # fmt: skip
def test_articles_move_to_the_front(title, expected):
  assert films.natural_title(title) == expected


def test_a_title_in_brackets_is_another_key():
  assert films.title_keys('Cérémonie, La') == ['la ceremonie']
  assert films.title_keys('Hate (Haine, La)') == ['hate', 'la haine']


def _film(title: str, year: int) -> Film:
  return Film(title, year, ('Drama',))


@pytest.mark.parametrize(
  ('title', 'year', 'expected'),
  [
    ('Heat, The', 1995, ('The Heat', 1996)),
    ('Heat', 1995, ('Heat', 1995)),
    ('Heat', 1996, ('Heat', 1995)),
    ('Heat', 1997, None),
    ('Cold', 1986, ('Cold', 1987)),
    ('Hate (Haine, La)', 1995, ('La Haine', 1995)),
    ('Secrets and Lies', 1996, ('Secrets & Lies', 1996)),
    # Without its article, or by a part alone, a title must be of the very year.
    ('Cold, The', 1987, ('Cold', 1987)),
    ('Cold, The', 1988, None),
    ('Star Wars', 1977, ('Star Wars: A New Hope', 1977)),
    ('Star Wars', 1978, None),
    ('New Hope, A', 1977, ('Star Wars: A New Hope', 1977)),
    ('Heat', 0, None),
  ],
)
def test_find(title, year, expected):
  known = [
    _film('Heat', 1995),
    _film('The Heat', 1996),
    _film('La Haine', 1995),
    _film('Secrets & Lies', 1996),
    _film('Cold', 1984),
    _film('Cold', 1987),
    _film('Star Wars: A New Hope', 1977),
  ]
  found = films.find(_film(title, year), films.index_films(known))
  assert (None if found is None else (found.title, found.year)) == expected


def test_description_puts_first_what_tells_most():
  film = Film('Haine, La', 1995, ('Drama',), ('M. Kassovitz',), ('France',), ('V. Cassel', 'H. K.'))
  assert films.describe(film) == 'La Haine (1995). Drama. M. Kassovitz. France. V. Cassel, H. K.'
  assert films.describe(Film('Nothing Known', 0, ())) == 'Nothing Known'


def test_cast_is_ordered_by_films_before_the_events(tmp_path):
  path = tmp_path / 'films.db'
  with sqlite3.connect(path) as connection:
    connection.execute(
      'CREATE TABLE omdb (ID INT, Title TEXT, Year INT, Genre TEXT, Director TEXT, Country TEXT, '
      '"Cast" TEXT)'
    )
    connection.executemany(
      'INSERT INTO omdb VALUES (?, ?, ?, ?, ?, ?, ?)',
      [
        (1, 'One', 1990, 'Drama', 'Di', 'France', 'Anna, Zoe'),
        (2, 'Two', 1991, 'Drama, War', 'Di, Do', None, 'Bob, Zoe'),
        (3, 'Three', 2005, 'Drama', '', 'France', 'Bob'),
        (4, 'Four', 2006, 'Drama', '', 'France', 'Bob'),
      ],
    )
  read = films.read_films(path)
  assert read[0].cast == ('Zoe', 'Anna')
  assert read[1] == Film('Two', 1991, ('Drama', 'War'), ('Di', 'Do'), (), ('Zoe', 'Bob'))


def test_a_film_is_chosen_by_what_its_description_says():
  film = Film('Haine, La', 1995, ('Drama',), ('M. Kassovitz',), ('France',), ('V. Cassel',))
  assert films.attributes(film) == {
    'genre': ['Drama'],
    'year': ['1995'],
    'director': ['M. Kassovitz'],
    'country': ['France'],
  }
  assert not any(films.attributes(Film('Nothing Known', 0, ())).values())
