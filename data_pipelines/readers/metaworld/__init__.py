"""Meta-World recordings."""
