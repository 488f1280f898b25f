"""What the machine has."""

import os


def memory() -> int:
  """Bytes of its memory, taken or not."""
  return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
