"""How often intervals hold where actions are lists, numbers, or have categories."""
