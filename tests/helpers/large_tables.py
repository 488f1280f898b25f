"""Made-up tables of any size: users with tastes, items whose popularity follows a power law.

See `large_run`.
"""

from pathlib import Path

import numpy as np
import polars as pl

_TOPICS = 50
_COLOURS = ('red', 'blue', 'green', 'grey', 'white', 'black', 'brown', 'violet')
_KINDS = ('thing', 'tool', 'toy', 'book', 'lamp', 'chair', 'cup', 'coat', 'game', 'bag')


def write(directory: Path, num_users: int, num_items: int, num_events: int) -> None:
  """Writes events.parquet and items.parquet; of events that repeat within a second one stays."""
  rng = np.random.default_rng(0)
  # Item i is of topic i % _TOPICS; a user likes two of them.
  taste = rng.integers(0, _TOPICS, (num_users, 2))
  user = rng.integers(0, num_users, num_events)
  topic = taste[user, rng.integers(0, 2, num_events)]
  rank = (rng.pareto(1.1, num_events) * num_items / (4 * _TOPICS)).astype(np.int64)
  # The tail of the power law is spread over the catalogue.
  item = (rank % max(1, num_items // _TOPICS) * _TOPICS + topic) % num_items
  begin = rng.integers(0, 10**8, num_users)
  time = 1_500_000_000 + begin[user] + rng.integers(0, 2 * 10**7, num_events)
  events = pl.DataFrame({'user_id': user, 'item_id': item, 'timestamp': time})
  events.unique(maintain_order=True).write_parquet(directory / 'events.parquet')
  number = pl.int_range(num_items, eager=True)
  of_topic = 'topic ' + (number % _TOPICS).cast(pl.String)
  colour, kind = (
    pl.Series(words)[rng.integers(0, len(words), num_items)] for words in (_COLOURS, _KINDS)
  )
  items = pl.DataFrame({'item_id': number, 'text': of_topic + ' ' + colour + ' ' + kind})
  items.write_parquet(directory / 'items.parquet')
