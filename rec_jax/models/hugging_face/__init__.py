"""Folders in the Hugging Face layout, read and written: a table of names and sizes a family."""
