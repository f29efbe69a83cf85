"""What behaviours of a simulator earn: the table that returns are normalised by."""
