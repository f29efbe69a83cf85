"""The command `python -m experiments.rollout`; see command.py."""
