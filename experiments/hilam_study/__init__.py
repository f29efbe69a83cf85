"""HiLAM beside flat BAKU, from demonstrations to the tables; see command.py."""
