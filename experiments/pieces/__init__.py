"""A study as a list of commands, each run once in a folder of its own."""
