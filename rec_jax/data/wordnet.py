"""Synonyms from the files of WordNet 3.0, as Debian's package wordnet-base installs them.

Their format is that of wndb(5WN): a line of `index.noun` names a word and the offsets of its
synsets in `data.noun`, the most frequent first; a synset is a line with all words of one meaning.
"""

import os
from collections.abc import Iterable
from pathlib import Path

PACKAGE = 'wordnet-base'
DIRECTORY = Path('/usr/share/wordnet')
# Of a word in several of them, the first that has a synonym counts.
_PARTS_OF_SPEECH = ('noun', 'adj', 'verb', 'adv')


def is_installed(directory: str | os.PathLike[str] = DIRECTORY) -> bool:
  """Whether all files are there."""
  names = (f'{kind}.{part}' for kind in ('index', 'data') for part in _PARTS_OF_SPEECH)
  return all((Path(directory) / name).is_file() for name in names)


def synonyms(
  words: Iterable[str], directory: str | os.PathLike[str] = DIRECTORY
) -> dict[str, tuple[str, ...]]:
  """The other words of the most frequent meaning of each word, for words that have any.

  Args:
    words: in lower case.
    directory: of the files.
  """
  missing, found = set(words), {}
  for part in _PARTS_OF_SPEECH:
    offsets = _first_synsets(Path(directory) / f'index.{part}', missing)
    with (Path(directory) / f'data.{part}').open('rb') as data:
      for word, offset in offsets.items():
        data.seek(offset)
        if others := tuple(each for each in _words(data.readline()) if each.lower() != word):
          found[word] = others
    missing -= set(found)
  return found


def _first_synsets(path: Path, words: set[str]) -> dict[str, int]:
  """Word -> offset of its most frequent synset."""
  offsets = {}
  with path.open(encoding='ascii') as index:
    for line in index:
      word = line.partition(' ')[0]
      if word in words:
        # Word, part of speech, number of synsets, number of kinds of pointers, these kinds, two
        # counts, the offsets.
        fields = line.split()
        offsets[word] = int(fields[6 + int(fields[3])])
  return offsets


def _words(line: bytes) -> list[str]:
  """The words of a synset: their number in hexadecimal is its fourth field, each has an id."""
  fields = line.decode('ascii').split()
  names = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
  # An adjective may end in where it stands, as "galore(ip)".
  return [name.partition('(')[0].replace('_', ' ') for name in names]
