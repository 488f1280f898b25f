"""Data sets in the form in which their owners give them out: a reader a format, from a folder."""
