"""The command `python -m experiments.measure_expert`; see command.py."""
