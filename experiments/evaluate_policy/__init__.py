"""The command `python -m experiments.evaluate_policy`; see command.py."""
