"""How to choose among candidates: one file an explorer."""
