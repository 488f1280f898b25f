"""The items of a recommender on the host: ids, titles, attributes, and what a user may be shown."""

from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from rec_jax.data import columns
from rec_jax.retrieval import titles
from rec_jax.retrieval.titles import Titles, parse, title_of
from rec_jax.types import InputError, ItemTable

# Ids, or values of attributes: {'genre': ['Comedy', 'Drama'], 'year': '1995'}.
Selection = Collection[str] | Mapping[str, str | Collection[str]]


class Attributes(NamedTuple):
  """What items can be chosen by, read when it is asked for.

  Attributes:
    names: of all attributes.
    read: the name of one to its values of each item.
  """

  names: Callable[[], Sequence[str]]
  read: Callable[[str], Sequence[tuple[str, ...]]]


REFUSE, SKIP = 'refuse', 'skip'
# Unknown ids or titles of a request that are told what is near.
_MOST_HINTS = 3


class Catalogue:
  """N items, to which others are added.

  Attributes:
    ids: [N].
    titles: [N], what their texts begin with.
    rows: id -> position.
    is_cold: [N], whether nobody had met it before the cut.
  """

  def __init__(
    self,
    items: ItemTable,
    num_events: np.ndarray,
    is_cold: np.ndarray,
    attributes: Attributes | None = None,
  ):
    """The items of a run.

    Args:
      items: N.
      num_events: [N] before the cut; of items with one title the most frequent is meant.
      is_cold: [N] bool.
      attributes: read once a name.
    """
    self.ids = [str(each) for each in items.ids]
    self.titles = [title_of(str(text)) for text in items.text]
    self.rows = {each: row for row, each in enumerate(self.ids)}
    self.is_cold = is_cold.tolist()
    self._titles = Titles(self.titles, num_events.tolist())
    self._given = attributes
    self._attributes: dict[str, list[tuple[str, ...]]] = {}
    self._own: list[Mapping[str, tuple[str, ...]]] = []

  def __len__(self) -> int:
    return len(self.ids)

  def check_new(self, ids: Sequence[str]) -> None:
    """Raises InputError unless no item has one of these ids, and none stands there twice."""
    seen: set[str] = set()
    for each in ids:
      if each in self.rows or each in seen:
        raise InputError(f'there is an item "{each}" already: give new items ids of their own')
      seen.add(each)

  def add(
    self,
    ids: Sequence[str],
    texts: Sequence[str],
    attributes: Mapping[str, Sequence[Any]],
  ) -> None:
    """Items behind all others; `attributes` has a value, several or None for each of them."""
    read = {name: [columns.cell_values(each) for each in of] for name, of in attributes.items()}
    for place, (each, text) in enumerate(zip(ids, texts, strict=True)):
      own = {name: values[place] for name, values in read.items()}
      for name, known in self._attributes.items():
        known.append(own.get(name, ()))
      self._own.append(own)
      self.rows[each] = len(self.ids)
      self.ids.append(each)
      self.titles.append(title_of(text))
      self.is_cold.append(True)
      self._titles.add(self.titles[-1], 0.0)

  def find(self, names: Sequence[str], unknown: str = REFUSE) -> tuple[list[int], list[str]]:
    """Rows of ids, and what was skipped.

    Args:
      names: ids.
      unknown: 'refuse' or 'skip' what no item is called.

    Raises:
      InputError: an id is unknown and is to be refused, and names those that are near; or `unknown`
        is neither.
    """
    found = [(name, self.rows.get(str(name))) for name in names]
    return self._known(
      [row for _, row in found if row is not None], [str(n) for n, r in found if r is None], unknown
    )

  def parse(self, text: str, unknown: str = REFUSE) -> tuple[list[int], list[str]]:
    """Rows of a list of titles and ids, see `titles.parse`, and what was skipped.

    Raises:
      InputError: as in `find`.
    """
    wanted = parse(text, self._titles, self.rows)
    return self._known(wanted.rows, wanted.unknown, unknown)

  def nearest(self, text: str, number: int = 3) -> list[int]:
    """Rows of the items that a text is nearest to: its id, titles, and ids spelt like it."""
    by_id = [self.rows[text]] if text in self.rows else []
    found = dict.fromkeys([*by_id, *self._titles.nearest(text, number)])
    if len(found) < number:
      found |= dict.fromkeys(self.rows[each] for each in titles.alike(text, self.rows, number))
    return list(found)[:number]

  def attributes(self) -> list[str]:
    """Names of what items can be chosen by, those of added items included; errors as of a file."""
    given = [] if self._given is None else self._given.names()
    return list(dict.fromkeys([*given, *(name for own in self._own for name in own)]))

  def attribute(self, name: str) -> list[tuple[str, ...]]:
    """[N], the values of each item.

    Raises:
      InputError: items have no such attribute.
    """
    if name not in self._attributes:
      added = [own.get(name, ()) for own in self._own]
      if self._given is None and not any(added):
        raise InputError(f'no attribute "{name}" of items: none is known')
      first: Sequence[tuple[str, ...]] = [()] * (len(self) - len(added))
      if self._given is not None and (name in self._given.names() or not any(added)):
        first = self._given.read(name)
      self._attributes[name] = [*first, *added]
    return self._attributes[name]

  def allowed(self, allowed: Selection | None, blocked: Selection | None) -> np.ndarray:
    """[N] bool, the items that anybody may be shown.

    Args:
      allowed: ids, or attributes of which an item must have one value each; None for all.
      blocked: ids, or attributes of which it must have no value; None for none.

    Raises:
      InputError: an id, an attribute or a value is unknown.
    """
    mask = np.ones(len(self), bool)
    if isinstance(allowed, Mapping):
      for name, values in allowed.items():
        mask &= self._having(name, values)
    elif allowed is not None:
      mask[:] = False
      mask[self.find(columns.cell_values(allowed))[0]] = True
    if isinstance(blocked, Mapping):
      for name, values in blocked.items():
        mask &= ~self._having(name, values)
    elif blocked is not None:
      mask[self.find(columns.cell_values(blocked))[0]] = False
    return mask

  def _having(self, name: str, values: str | Collection[str]) -> np.ndarray:
    of_items, wanted = self.attribute(name), set(columns.cell_values(values))
    known = {value for each in of_items for value in each}
    for value in sorted(wanted - known):
      near = get_close_matches(value, known, 3) or sorted(known)[:5]
      raise InputError(f'no item has {name} "{value}": there is {", ".join(near) or "none"}')
    return np.array([not wanted.isdisjoint(each) for each in of_items])

  def _known(
    self, rows: list[int], missing: list[str], unknown: str
  ) -> tuple[list[int], list[str]]:
    if unknown not in (REFUSE, SKIP):
      raise InputError(f'unknown is "{unknown}": say {REFUSE} or {SKIP}')
    if missing and unknown == REFUSE:
      more = len(missing) - _MOST_HINTS
      hints = [*map(self._hint, missing[:_MOST_HINTS]), *([f'{more} more unknown'] * (more > 0))]
      raise InputError('; '.join(hints))
    return rows, missing

  def _hint(self, name: str) -> str:
    near = ' or '.join(f'"{self.titles[row]}" ({self.ids[row]})' for row in self.nearest(name))
    return f'no item "{name}" in the catalogue' + (f': did you mean {near}?' if near else '')
