"""Tuning a text encoder by few parameters; `methods.METHODS` is the registry."""
