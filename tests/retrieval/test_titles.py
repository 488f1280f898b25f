"""Titles as people write them."""

import pytest

from rec_jax.data import films
from rec_jax.retrieval import titles as subject
from rec_jax.retrieval.titles import Titles, parse, title_of

NAMES = (
  'Toy Story (1995)',
  'Babe (1995)',
  'The Usual Suspects (1995)',
  'Sabrina (1954)',
  'Sabrina (1995)',
  'The Good, the Bad and the Ugly (1966)',
  'Seven (Se7en) (1995)',
  'Dr. Strangelove (1963)',
  'La Haine (1995)',
  '187 (1997)',
  'Secrets & Lies (1996)',
)
ROWS = {str(100 + row): row for row in range(len(NAMES))} | {'187': 0}


@pytest.fixture(scope='module')
def titles():
  return Titles(NAMES, [0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
  ('text', 'rows', 'unknown'),
  [
    ('Toy Story, Babe', [0, 1], []),
    ('toy story (1995),BABE', [0, 1], []),
    ('Usual Suspects, The, Babe', [2, 1], []),
    ('Usual Suspects, The (1995), Babe', [2, 1], []),
    ('usual suspects', [2], []),
    ('Good, the Bad and the Ugly, The (1966), Toy Story', [5, 0], []),
    ('The Good, the Bad and the Ugly; Toy Story', [5, 0], []),
    # The one that more people met, unless the year says another.
    ('Sabrina', [4], []),
    ('Sabrina (1954)', [3], []),
    ('Seven; Se7en', [6, 6], []),
    ('dr strangelove', [7], []),
    ('Haine, La', [8], []),
    ('Secrets and Lies', [10], []),
    ('101, 100', [1, 0], []),
    # An id comes first; the year says that a title is meant.
    ('187, 187 (1997)', [0, 9], []),
    ('Toy Story (1996), Babe', [1], ['Toy Story (1996)']),
    ('Usaul Suspects, The, Babe', [1], ['Usaul Suspects, The']),
    ('', [], []),
    (' , ,', [], []),
  ],
)
def test_lists_are_read(titles, text, rows, unknown):
  assert parse(text, titles, ROWS) == (rows, unknown)


def test_what_is_misspelt_has_neighbours(titles):
  assert titles.nearest('Toy Stroy')[0] == 0
  assert titles.nearest('Usaul Suspects, The')[0] == 2
  assert titles.nearest('sab', 2) == [4, 3]
  assert titles.nearest('qqqqqqqq') == titles.nearest('') == []


def test_few_titles_are_compared_letter_by_letter(monkeypatch):
  words = ('red', 'blue', 'lamp', 'chair', 'night', 'dark', 'return', 'king', 'war', 'love')
  names = [f'{a} {b} {c}' for a in words for b in words for c in words]
  compared, close = [], subject.difflib.get_close_matches

  def count(wanted, likely, number, least):
    compared.append(len(likely))
    return close(wanted, likely, number, least)

  monkeypatch.setattr(subject.difflib, 'get_close_matches', count)
  made = Titles(names, [0] * len(names))
  for wanted, typed in (('dark king love', 'drak kign love'), ('red lamp chair', 'rde lmap chair')):
    assert names[made.nearest(typed)[0]] == wanted == close(typed, names, 1)[0]
  assert max(compared) <= 200 < len(names)


def test_titles_are_read_when_one_is_asked_for(monkeypatch):
  read, key = [], subject.key
  monkeypatch.setattr(subject, 'key', lambda title: read.append(title) or key(title))
  made = Titles(NAMES, [0] * len(NAMES))
  made.add('Antz (1998)', 0.0)
  assert not read
  assert made.find('Antz') == len(NAMES)


def test_what_is_added_is_found(titles):
  made = Titles(NAMES[:2], [1, 1])
  made.add('Antz (1998)', 0.0)
  assert made.find('Antz') == 2 and made.nearest('ant') == [2]


def test_a_title_is_what_a_text_begins_with():
  film = films.Film('Usual Suspects, The', 1995, ('Crime',), ('Bryan Singer',))
  assert title_of(films.describe(film)) == 'The Usual Suspects (1995)'
  assert title_of(films.describe(films.Film('Mr. Nobody', 0, ('Drama',)))) == 'Mr. Nobody'
  assert title_of('a thing') == 'a thing'
