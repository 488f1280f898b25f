"""Variants of texts; WordNet's format by a small folder, Apertium by a stand-in."""

import json
import logging

import numpy as np
import pytest

from rec_jax.data import text_augmentation, translation, wordnet
from rec_jax.types import InputError

TEXTS = ['A small car went home', 'the CAR', 'x', 'Red red red red red red red red']


@pytest.fixture
def folder(tmp_path):
  """Nouns: car, whose first meaning has three words and second one more; an adjective, small."""
  licence = '  1 This is no data.\n'
  synsets = {
    'noun': [
      'car 0 auto 0 motor_car 0',
      'car 1 gondola 0',
      'home 0',
    ],
    'adj': ['small 0 little(a) 1'],
    'verb': ['home 0 return 0'],
    'adv': ['well 0 good 0'],
  }
  for part, lines in synsets.items():
    data, index = licence, {}
    for words in lines:
      fields = words.split()
      offset = len(data)
      data += f'{offset:08d} 06 n {len(fields) // 2:02x} {words} 001 @ 00000000 n 0000 | gloss\n'
      for word in fields[::2]:
        index.setdefault(word.partition('(')[0], []).append(offset)
    (tmp_path / f'data.{part}').write_text(data)
    rows = [
      f'{word} n {len(at)} 2 @ ~ {len(at)} 0 {" ".join(f"{each:08d}" for each in at)}  \n'
      for word, at in sorted(index.items())
    ]
    (tmp_path / f'index.{part}').write_text(licence + ''.join(rows))
  return tmp_path


def test_synonyms_are_those_of_the_most_frequent_meaning(folder):
  assert wordnet.is_installed(folder)
  found = wordnet.synonyms(['car', 'small', 'home', 'well', 'unknown'], folder)
  assert found == {
    'car': ('auto', 'motor car'),
    'small': ('little',),
    # Alone among the nouns, one of two among the verbs.
    'home': ('return',),
    'well': ('good',),
  }


def test_an_incomplete_folder_is_none(folder):
  (folder / 'data.adv').unlink()
  assert not wordnet.is_installed(folder)


@pytest.mark.skipif(not wordnet.is_installed(), reason=f'{wordnet.PACKAGE} is not installed')
def test_the_installed_files_are_read():
  found = wordnet.synonyms(['car', 'film', 'comedy', 'qqq'])
  assert found['car'] == ('auto', 'automobile', 'machine', 'motorcar')
  assert 'movie' in found['film'] and 'qqq' not in found


def test_three_in_ten_of_the_known_words_are_replaced(folder):
  rng = np.random.default_rng(0)
  text = ' '.join(['Car', 'small', 'unknown,'] * 2000)
  (found,) = text_augmentation.with_synonyms(rng, [text], folder)
  # A synonym of two words keeps the count of the others.
  words = found.replace('Motor car', 'Motor_car').split()
  first, second, third = (words[i::3] for i in range(3))
  assert set(first) == {'Car', 'Auto', 'Motor_car'}
  assert set(second) == {'small', 'little'} and set(third) == {'unknown,'}
  for kept in (first.count('Car'), second.count('small')):
    assert abs(kept / 2000 - 0.7) < 0.04


def test_deletion_leaves_a_word_and_crop_half_of_them():
  rng = np.random.default_rng(0)
  text = ' '.join(map(str, range(10)))
  shorter = [each.split() for each in text_augmentation.without_words(rng, [text] * 2000 + ['x'])]
  assert shorter.pop() == ['x']
  assert all(words and words == sorted(words) for words in shorter)
  assert abs(np.mean([len(words) for words in shorter]) - 8) < 0.15
  stretches = [each.split() for each in text_augmentation.cropped(rng, [text] * 500 + ['x'])]
  assert stretches.pop() == ['x']
  for words in stretches:
    assert len(words) >= 5
    first = int(words[0])
    assert words == [str(i) for i in range(first, first + len(words))]
  assert {words[0] for words in stretches} >= {'0', '1', '2', '3', '4'}


def upper(direction, lines):
  """Takes the place of Apertium."""
  return [f'{line}|{direction}' for line in lines]


def test_each_text_is_translated_once(tmp_path):
  asked = []

  def counting(direction, lines):
    asked.extend(lines)
    return upper(direction, lines)

  def back(texts):
    return translation.there_and_back(texts, tmp_path / 'new', counting)

  assert back(['a\nb', 'c', 'c']) == [
    'a b|eng-spa|spa-eng',
    'c|eng-spa|spa-eng',
    'c|eng-spa|spa-eng',
  ]
  assert asked == ['a b', 'c', 'a b|eng-spa', 'c|eng-spa']
  asked.clear()
  assert back(['c', 'd'])[0] == 'c|eng-spa|spa-eng'
  assert asked == ['d', 'd|eng-spa']
  # What is damaged is made anew.
  (path,) = (tmp_path / 'new').iterdir()
  assert set(json.loads(path.read_text())) == {'a b', 'c', 'd'}
  path.write_text('{')
  assert back(['d']) == ['d|eng-spa|spa-eng']


@pytest.mark.skipif(not translation.is_installed(), reason=f'needs {translation.PACKAGES}')
def test_apertium_translates_and_says_what_it_cannot(tmp_path):
  lines = ['The house is red.', 'Zzyzx (1995)']
  there = translation.apertium('eng-spa', lines)
  assert 'casa' in there[0] and 'Zzyzx' in there[1]
  with pytest.raises(
    InputError, match=r'apertium eng-xyz failed .* leave translation out$'
  ) as error:
    translation.apertium('eng-xyz', lines)
  assert '\n' not in str(error.value)


def test_a_missing_package_is_a_line_and_the_rest_runs(tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(wordnet, 'is_installed', lambda: False)
  monkeypatch.setattr(translation, 'is_installed', lambda: False)
  with caplog.at_level(logging.WARNING):
    found = text_augmentation.variants(TEXTS, text_augmentation.VARIANTS, 0, tmp_path)
  assert list(found) == ['deletion', 'crop']
  assert all(len(texts) == len(TEXTS) for texts in found.values())
  assert [record.getMessage() for record in caplog.records] == [
    'text variants by synonyms are left out: install wordnet-base (apt-get install wordnet-base)',
    'text variants by translation are left out: install apertium apertium-eng-spa '
    '(apt-get install apertium apertium-eng-spa)',
  ]


def test_the_seed_decides():
  def made(seed):
    return text_augmentation.variants(TEXTS * 5, ['deletion', 'crop'], seed)

  assert made(0) == made(0) != made(1)


@pytest.mark.parametrize('make', [text_augmentation.without_words, text_augmentation.cropped])
def test_a_text_without_a_word_stays_as_it_is(make):
  assert make(np.random.default_rng(0), ['', ' ', 'one']) == ['', ' ', 'one']
