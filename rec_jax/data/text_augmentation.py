"""Variants of texts: other words, fewer words, the same in a translation."""

import logging
import os
import re
from collections.abc import Callable, Sequence

import numpy as np

from rec_jax.data import translation, wordnet

logger = logging.getLogger(__name__)

VARIANTS = ('synonyms', 'translation', 'deletion', 'crop')
# Shares of the words that are replaced or deleted (Wei & Zou 2019 have 5 to 50 %), and the least
# that a crop leaves.
_REPLACED, _DELETED, _LEAST_KEPT = 0.3, 0.2, 0.5


def variants(
  texts: Sequence[str],
  kinds: Sequence[str],
  seed: int,
  cache: str | os.PathLike[str] | None = None,
) -> dict[str, list[str]]:
  """One variant of each text for every kind; a kind whose package is absent is left out in a line.

  Args:
    texts: N strings.
    kinds: some of `VARIANTS`.
    seed: of what is drawn.
    cache: directory of the cache of translations; that of the user if not given.
  """
  found = {}
  for kind in kinds:
    if package := _MISSING[kind]():
      logger.warning(
        'text variants by %s are left out: install %s (apt-get install %s)', kind, package, package
      )
    elif kind == 'translation':
      directory = translation.cache_directory() if cache is None else cache
      found[kind] = translation.there_and_back(texts, directory)
    else:
      rng = np.random.default_rng((seed, VARIANTS.index(kind)))
      found[kind] = _MAKERS[kind](rng, texts)
  return found


def with_synonyms(
  rng: np.random.Generator,
  texts: Sequence[str],
  directory: str | os.PathLike[str] = wordnet.DIRECTORY,
) -> list[str]:
  """Three in ten of the words that WordNet has synonyms of become one of them."""
  words = {word.lower() for text in texts for word in _WORD.findall(text)}
  others = wordnet.synonyms(words, directory)

  def other(match: re.Match[str]) -> str:
    word = match[0]
    known = others.get(word.lower(), ())
    if not known or rng.random() >= _REPLACED:
      return word
    chosen = known[rng.integers(len(known))]
    return chosen[0].upper() + chosen[1:] if word[0].isupper() else chosen

  return [_WORD.sub(other, text) for text in texts]


def without_words(rng: np.random.Generator, texts: Sequence[str]) -> list[str]:
  """Each word is left out with probability 0.2; one at least stays if there is any."""

  def shorter(words: np.ndarray) -> np.ndarray:
    kept = rng.random(len(words)) >= _DELETED
    kept[rng.integers(len(words))] |= not kept.any()
    return words[kept]

  return [' '.join(shorter(np.array(text.split()))) if text.strip() else text for text in texts]


def cropped(rng: np.random.Generator, texts: Sequence[str]) -> list[str]:
  """A stretch of half of the words or more."""

  def stretch(words: list[str]) -> list[str]:
    size = max(1, round(len(words) * rng.uniform(_LEAST_KEPT, 1)))
    start = rng.integers(len(words) - size, endpoint=True)
    return words[start : start + size]

  return [' '.join(stretch(text.split())) if text.strip() else text for text in texts]


_WORD = re.compile('[A-Za-z]+')
_MAKERS: dict[str, Callable[[np.random.Generator, Sequence[str]], list[str]]] = {
  'synonyms': with_synonyms,
  'deletion': without_words,
  'crop': cropped,
}


def _nothing() -> str:
  return ''


# What has to be installed for a kind, if it is not.
_MISSING: dict[str, Callable[[], str]] = {
  'synonyms': lambda: '' if wordnet.is_installed() else wordnet.PACKAGE,
  'translation': lambda: '' if translation.is_installed() else translation.PACKAGES,
  'deletion': _nothing,
  'crop': _nothing,
}
