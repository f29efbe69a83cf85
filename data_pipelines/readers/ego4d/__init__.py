"""Ego4D as its command line tool downloads it; see docs/data/ego4d.md."""
