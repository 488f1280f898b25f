"""What callers say of users and moments, read into what models take."""

import dataclasses
import datetime
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rec_jax.data import columns
from rec_jax.data.feature_encoding import Encoders
from rec_jax.retrieval.padding import Histories
from rec_jax.types import InputError, Interactions

# Seconds since 1970 (or milli-, micro- or nanoseconds, told by their size), or a date, also as
# ISO 8601 writes it; one without a zone is in UTC.
Time = float | datetime.datetime | str
# An id, or an id and whether the user liked the item, and when.
Event = str | tuple[str, bool] | tuple[str, bool, Time]
# What is known of a user and a moment, by the columns of the features.
About = Mapping[str, Any]
Find = Callable[[Sequence[str]], tuple[list[int], list[str]]]
# The year 5138, in seconds: what is beyond is not a date but a mistake.
_FARTHEST = 1e11
# What parts the fields of a date, and is in no number.
_SEPARATED = re.compile(r'\d[-/:]')


@dataclasses.dataclass(frozen=True)
class Reader:
  """What a model reads of a request beside the items.

  Attributes:
    spacing: seconds from event to event of a history that has no times.
    encoders: of features.
  """

  spacing: int = 0
  encoders: Encoders = dataclasses.field(default_factory=Encoders)

  def read(
    self,
    histories: Sequence[Sequence[Event]],
    find: Find,
    about: Sequence[About] | None = None,
    now: Time | Sequence[Time] | None = None,
  ) -> Histories:
    """Ids to rows, times to seconds, and features to vectors.

    Args:
      histories: of n users.
      find: ids to rows, and those that there are not.
      about: [n], what is known of each; what is not given is unknown.
      now: when all or each of them ask; without, at no moment in particular.

    Raises:
      InputError: what `find` raises, a history is a text and no list of ids, an event says
        anything but true or false of being liked, some events of a history have times and others
        none, times fall, or what is given is of no column or no number.
    """
    rows, liked, times, skipped = [], [], [], list[list[str]]()
    for history in histories:
      if isinstance(history, str):
        raise InputError(f'a history is a list of ids, not a text: give [{history[:20]!r}] for one')
      events = [_event(each) for each in history]
      found, missing = find([each[0] for each in events])
      gone, when = set(missing), self._times(events)
      kept = [place for place, each in enumerate(events) if each[0] not in gone]
      rows.append(np.array(found, np.int32))
      liked.append(np.array([events[place][1] for place in kept], np.int32))
      times.append(when[kept])
      skipped.append(missing)
    context = self._context(len(rows), about, now)
    is_known = (context != self._context(1, None, None)).any(1)
    from_prior = [not len(each) and not told for each, told in zip(rows, is_known, strict=True)]
    return Histories(rows, liked, times, context, skipped, from_prior)

  def _times(self, events: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """[n] int64 of the events of a history."""
    given = [each[2] for each in events if len(each) > 2]
    if not given:
      return self.spacing * np.arange(len(events))
    if len(given) < len(events):
      raise InputError(
        f'{len(given)} of {len(events)} events of a history have times: give all of them or none'
      )
    found = [seconds(each) for each in given]
    for place, (one, other) in enumerate(itertools.pairwise(found), 1):
      if other < one:
        raise InputError(
          f'event {place + 1} of a history, "{events[place][0]}", is earlier than the one before '
          'it: give events in order of time'
        )
    return np.array(found, np.int64)

  def _context(
    self, number: int, about: Sequence[About] | None, now: Time | Sequence[Time] | None
  ) -> np.ndarray:
    """[n, C] float32."""
    about = [{}] * number if about is None else about
    when: Sequence[Time | None]
    when = [now] * number if isinstance(now, str) or not isinstance(now, Sequence) else now
    for what, given in (('about', about), ('now', when)):
      if len(given) != number:
        raise InputError(f'{number} histories and {len(given)} of {what}: give one for each')
    encodings = self.encoders.users, self.encoders.events
    known = [column.name for encoding in encodings for column in encoding.columns]
    for name in (name for one in about for name in one if name not in known):
      raise InputError(
        f'no feature "{name}" of users or moments: there is {", ".join(known) or "none"}'
      )
    moments = None if now is None else np.array([seconds(each) for each in when], np.int64)
    return self.encoders.context(about, moments)


def seconds(time: Any) -> int:
  """Whole seconds since 1970; of a number its size says the unit, as of columns in `prepare`.

  One like 19970920 may be a date or a time, which only a whole column could tell.

  >>> seconds(datetime.datetime(1970, 1, 2)), seconds(7.9)
  (86400, 7)

  >>> seconds('1970-01-02'), seconds('1970-01-02T01:00+01:00'), seconds('86400')
  (86400, 86400, 86400)

  >>> seconds('1970/01/02'), seconds('86400.0')
  (86400, 86400)

  >>> seconds(1_700_000_000), seconds(1_700_000_000_000), seconds(1.7e15), seconds(17 * 10**17)
  (1700000000, 1700000000, 1700000000, 1700000000)

  Raises:
    InputError: it is no time, or a number that may be a date.
  """
  try:
    if isinstance(time, str) and _SEPARATED.search(time):
      time = datetime.datetime.fromisoformat(time.strip().replace('/', '-'))
    if isinstance(time, datetime.datetime):
      zone = time.tzinfo or datetime.UTC
      return int(time.replace(tzinfo=zone).timestamp())
    number = float(time)
    if math.isfinite(number) and not columns.is_date_as_number(number):
      found = int(number * columns.microseconds_per_unit(abs(number)) / 1e6)
      if abs(found) < _FARTHEST:
        return found
  except (TypeError, ValueError, OverflowError):
    pass
  raise InputError(
    f'"{time}" is no time: give seconds since 1970, or a date such as 2026-01-31T18:00'
  )


def _event(given: Any) -> tuple[Any, ...]:
  """(id, whether it was liked) and perhaps the time; what is no tuple is an id that was liked."""
  if not isinstance(given, tuple):
    return str(given), True
  if len(given) not in (2, 3):
    raise InputError(f'event {given} of a history: give an id, whether it was liked, and the time')
  item, liked, *when = given
  # A rating of 1.0 says something else than a 1.
  if not isinstance(liked, bool | int | np.bool_ | np.integer) or liked not in (0, 1):
    raise InputError(
      f'event ("{item}", {liked!r}) of a history: second is whether it was liked, True or False '
      '(not a rating), and third the time'
    )
  return str(item), bool(liked), *when


def usual_spacing(events: Interactions, trained: np.ndarray) -> int:
  """The median seconds from event to event of a user, of the events `trained` [E] bool."""
  order = np.argsort(events.user[trained], kind='stable')
  user, time = events.user[trained][order], events.timestamp[trained][order]
  gaps = np.diff(time)[user[1:] == user[:-1]]
  return int(np.median(gaps)) if len(gaps) else 0
