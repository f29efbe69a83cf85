"""What loader.py is made of: mixtures, pairs, order of rows, reading of windows."""
