"""Files of the form of the Open Bandit data, of any length: what it takes to read them is measured.

python -m tests.helpers.open_bandit_data DIR    # of the published lengths, 27 million rounds, 12 GB
"""

import pathlib
import sys

import numpy as np
import polars as pl

NUM_ITEMS = {'all': 80, 'men': 34, 'women': 46}
# Rounds as published (Saito et al. 2021, table 1).
PUBLISHED = {
  ('random', 'all'): 1_374_327,
  ('random', 'men'): 452_949,
  ('random', 'women'): 864_585,
  ('bts', 'all'): 12_357_200,
  ('bts', 'men'): 4_077_727,
  ('bts', 'women'): 7_765_497,
}
# Categories of the four user features.
_CATEGORIES = (3, 6, 10, 10)
_CHUNK = 250_000


def write(folder, rounds=PUBLISHED, seed=0):
  """One log each of (policy, campaign) -> number of rounds; clicks follow user, item and place."""
  for (policy, campaign), num_rounds in rounds.items():
    rng = np.random.default_rng([seed, len(policy), NUM_ITEMS[campaign]])
    path = pathlib.Path(folder, policy, campaign)
    path.mkdir(parents=True, exist_ok=True)
    _items(NUM_ITEMS[campaign]).write_csv(path / 'item_context.csv')
    with (path / f'{campaign}.csv').open('wb') as stream:
      for first in range(0, num_rounds, _CHUNK):
        rows = np.arange(first, min(first + _CHUNK, num_rounds))
        frame = _rounds(rng, rows, policy, NUM_ITEMS[campaign])
        frame.write_csv(stream, include_header=first == 0)


def _items(num_items):
  return pl.DataFrame(
    {'item_id': range(num_items), 'item_feature_0': np.linspace(-1, 1, num_items)}
    | {f'item_feature_{i}': [f'{k % (2 + i):032x}' for k in range(num_items)] for i in (1, 2, 3)}
  )


def _rounds(rng, rows, policy, num_items):
  n = len(rows)
  position = rng.integers(3, size=n)
  # Thompson sampling changes its mind from hour to hour, so propensities are of many values.
  logits = np.linspace(0, 2, num_items) * (policy == 'bts') + np.zeros((n, 1))
  logits += (policy == 'bts') * np.sin(rows[:, None] / 1e5 + np.arange(num_items))
  chance = np.exp(logits)
  chance /= chance.sum(1, keepdims=True)
  item = (chance.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=num_items - 1)
  user = [rng.integers(count, size=n) for count in _CATEGORIES]
  expected = 0.002 + 0.004 * item / num_items + 0.002 * (user[0] == 1) + 0.001 * position
  affinity = {
    f'user-item_affinity_{k}': np.where(rng.random(n) < 0.02, 1.0, 0.0) for k in range(num_items)
  }
  time = np.datetime64('2019-11-24', 'ms') + (1_000 * (rows // 50)).astype('timedelta64[ms]')
  return pl.DataFrame(
    {
      '': rows,
      'timestamp': pl.Series(time).dt.strftime('%Y-%m-%d %H:%M:%S.500000+00:00'),
      'item_id': item,
      'position': position + 1,
      'click': (rng.random(n) < expected).astype(int),
      'propensity_score': chance[np.arange(n), item],
    }
    | {
      f'user_feature_{i}': np.array([f'{10 * i + c:032x}' for c in range(count)])[user[i]]
      for i, count in enumerate(_CATEGORIES)
    }
    | affinity
  )


if __name__ == '__main__':
  write(sys.argv[1])
