"""Bandit policies on the feedback after the cut."""
