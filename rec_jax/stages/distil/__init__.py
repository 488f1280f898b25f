"""The student of the two-tower model."""
