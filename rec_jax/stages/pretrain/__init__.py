"""The text encoder, continued on unlabelled text."""
