"""LIBERO's scenes: played, and recorded with scripted experts."""
