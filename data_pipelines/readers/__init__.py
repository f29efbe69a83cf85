"""Readers of published formats: plan and read, see recordings.py."""
