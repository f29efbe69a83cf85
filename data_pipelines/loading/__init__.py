"""Dataset folders to batches: mixtures, pairs, order of rows, reading of windows."""
