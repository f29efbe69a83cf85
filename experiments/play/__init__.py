"""The command `python -m experiments.play`; see command.py."""
