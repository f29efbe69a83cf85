"""Measures a world beside its floors, and writes the card of its actions; see command.py."""
