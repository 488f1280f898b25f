"""Why an item is recommended: what each event of the history adds, and which is most like it."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rec_jax.retrieval import padding, served_model
from rec_jax.retrieval.catalogue import Catalogue
from rec_jax.retrieval.padding import Histories
from rec_jax.retrieval.served_model import ServedModel


@dataclasses.dataclass(frozen=True)
class Contribution:
  """What one event adds to the logit of an item.

  Attributes:
    id: of the item of the event.
    title: likewise.
    linear: on the linear path, exactly: the events add up to all of that path.
    learnt: how much lower the learnt part would be without the event; these do not add up.
  """

  id: str
  title: str
  linear: float
  learnt: float

  @property
  def total(self) -> float:
    return self.linear + self.learnt


@dataclasses.dataclass(frozen=True)
class Reason:
  """Why one item is shown.

  Attributes:
    id: of the item.
    trend: what it gains in its logit by being chosen more often of late than always.
    nearest: (id, title, cosine) of the event whose item is most like it; None without events.
    contributions: of the events that the model reads, the largest first.
  """

  id: str
  trend: float
  nearest: tuple[str, str, float] | None
  contributions: tuple[Contribution, ...]


def reasons(
  model: ServedModel, catalogue: Catalogue, asked: Histories, length: int, rows: Sequence[int]
) -> list[Reason]:
  """Of items `rows` after the one history of `asked`, whose last `length` events are read."""
  events = asked.rows[0][-length:].tolist()
  trend = np.asarray(model.trend[...])
  if not events:
    return [Reason(catalogue.ids[row], float(trend[row]), None, ()) for row in rows]
  (batch,) = padding.batches(asked, length, 0, exclude_seen=False)
  found: list[Reason] = []
  for part in padding.chunks(np.array(rows, np.int32)):
    parts = served_model.contributions(model, batch.asked, part.rows)
    host = {name: np.asarray(value)[: len(events), : part.number] for name, value in parts.items()}
    for place, row in enumerate(part.rows[: part.number].tolist()):
      linear, learnt, cosine = (host[name][:, place] for name in ('linear', 'learnt', 'cosine'))
      near = int(np.argmax(cosine))
      added = [
        Contribution(catalogue.ids[event], catalogue.titles[event], *map(float, both))
        for event, both in zip(events, zip(linear, learnt, strict=True), strict=True)
      ]
      nearest = catalogue.ids[events[near]], catalogue.titles[events[near]], float(cosine[near])
      most_first = tuple(sorted(added, key=lambda each: -each.total))
      found.append(Reason(catalogue.ids[row], float(trend[row]), nearest, most_first))
  return found
