"""Policies x hyperparameters x seeds in one world."""
