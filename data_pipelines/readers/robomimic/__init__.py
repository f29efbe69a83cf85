"""HDF5 demonstrations in robomimic's layout."""
