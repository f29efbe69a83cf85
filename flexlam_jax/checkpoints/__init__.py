"""Checkpoints on disk: how they lie there, how they are verified, and how parameters are read."""
