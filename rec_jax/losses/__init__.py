"""Per-example losses as pure functions; the caller reduces."""
