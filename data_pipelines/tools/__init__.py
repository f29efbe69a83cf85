"""What is shown and checked of a finished folder."""
