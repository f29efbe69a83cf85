"""Datasets that are played, not read."""
