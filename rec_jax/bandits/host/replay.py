"""A service from its directory: the snapshot, and each event since once more."""

import logging
import os

from rec_jax.bandits.host import journal
from rec_jax.bandits.host.engine import Engine
from rec_jax.types import InputError


def load(directory: str | os.PathLike[str]) -> tuple[Engine, journal.Journal]:
  """The engine as it was when its process ended, and the journal that goes on.

  An event that cannot be applied is taken out of the journal as soon as it fails. Where the process
  was killed before that it is the last one, nobody was told of it, and it is taken out here.

  Raises:
    InputError: there is no snapshot, it is damaged or of another version, another service has the
      directory, or an event that somebody was told of cannot be applied.
  """
  content, events, opened = journal.load(directory)
  try:
    engine = Engine.from_plain(content)
    for number, event in enumerate(events, 1):
      try:
        engine.apply(event)
      except Exception as error:
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        what = f'{directory}: event {number} of {len(events)} of its journal ({event["do"]})'
        if number < len(events) or opened.is_last_told:
          raise InputError(
            f'{what} cannot be applied ({reason}); load it with the version of rec_jax that wrote '
            'it, on a machine with as much memory'
          ) from error
        opened.take_back()
        logging.warning(
          '%s is left out: it cannot be applied (%s), and nobody was told of it before the process '
          'ended',
          what,
          reason,
        )
        break
    else:
      opened.clear()
      return engine, opened
  except BaseException:
    opened.close()
    raise
  opened.close()
  # Anew, since that event may have been applied in part.
  return load(directory)
