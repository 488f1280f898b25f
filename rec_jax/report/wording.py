"""Protocols and names as text of a page."""


def capitalised(text: str) -> str:
  """The text with a capital at its beginning; `str.capitalize` would lower the others."""
  return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
  """A protocol as a sentence."""
  return f'{capitalised(text)}.'
