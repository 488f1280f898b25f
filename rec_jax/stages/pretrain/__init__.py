"""The text encoder, continued on text or on what users chose."""
