"""What the machine has."""

import os
from pathlib import Path

# Limits of a container, of cgroup v2 and v1; within it they are those of its own group.
_LIMITS = (
  Path('/sys/fs/cgroup/memory.max'),
  Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
)


def memory() -> int:
  """Bytes that processes may take, taken or not: of the machine, or of its container if fewer."""
  machine = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  return min([machine, *filter(None, map(_limit, _LIMITS))])


def _limit(path: Path) -> int | None:
  """Bytes that a file says; None where there is none, or it sets no limit ('max')."""
  try:
    text = path.read_text().strip()
  except OSError:
    return None
  return int(text) if text.isdecimal() else None
