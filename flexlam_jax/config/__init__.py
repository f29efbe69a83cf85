"""Reading configs: which keys there are, and which numbers they may hold."""
