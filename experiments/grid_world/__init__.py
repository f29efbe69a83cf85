"""The command `python -m experiments.grid_world`; see command.py."""
