"""The command `python -m experiments.embed_text`; see command.py."""
