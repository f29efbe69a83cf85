"""The one training loop of this package and its parts; start reading at `loop.py`."""
